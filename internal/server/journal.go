package server

import (
	"slices"
	"sync"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// Bounds of what a node remembers of changes.
const (
	// maxKept is how many changes are kept: 25 MB at most, besides their texts, and some
	// seconds under the heaviest load, so that a watch that was cut can go on without a gap.
	maxKept = 1 << 17

	// maxTexts is how many bytes of texts they may have together, each counted as if it were
	// its change's alone: without it notes of 4 KiB would be half a GB. Usual ones have a
	// quarter of this.
	maxTexts = 64 << 20

	// maxBehind is how many changes wait for a watch that is not read. Beyond it the watch
	// reads what is kept, as one does that has just begun.
	maxBehind = 1_024

	// maxWatches is how many watches a node may have, each with a stream and what waits for it;
	// maxWide how many of them may be of more than one object. Those of one are found by it,
	// these are asked about every change, while the log waits.
	maxWatches = 10_000
	maxWide    = 256

	// scanned is how many changes are looked at while Apply may have to wait.
	scanned = 4_096
)

// A kept change, and when it was applied here.
type keptChange struct {
	machine.Change
	at time.Time
}

// texts is how many bytes its texts have.
func (c *keptChange) texts() int {
	return len(c.On.Name) + len(c.Who) + len(c.Note) + len(c.Key) + len(c.Value) + len(c.Trace)
}

// A journal has the latest changes of a node's machine, in their order and without a gap,
// for watches and for the history of objects. Apply appends and never waits for a watch.
type journal struct {
	limit uint64 // how many may be kept
	most  int    // bytes of their texts

	mu       sync.Mutex
	ring     []keptChange
	kept     uint64 // how many of the latest it has
	texts    int    // bytes
	start    uint64 // revision of the first that was kept, from which on slots are counted
	last     uint64 // revision of the latest
	watchers map[*watcher]struct{}
	wide     map[*watcher]struct{}                 // those of more than one object
	byObject map[park.Object]map[*watcher]struct{} // all others
}

func newJournal(limit uint64, most int) *journal {
	return &journal{
		limit:    limit,
		most:     most,
		watchers: make(map[*watcher]struct{}),
		wide:     make(map[*watcher]struct{}),
		byObject: make(map[park.Object]map[*watcher]struct{}),
	}
}

// append keeps changes, which follow those before, and wakes who watches for them.
func (j *journal) append(changes []machine.Change, at time.Time) {
	if len(changes) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range changes {
		j.keep(keptChange{changes[i], at})
	}
	if len(j.watchers) == 0 {
		return
	}
	for i := range changes {
		j.tell(&changes[i])
	}
}

func (j *journal) keep(c keptChange) {
	if len(j.ring) == 0 {
		j.start = c.Revision
	}
	if j.kept == j.limit {
		j.drop()
	}
	if uint64(len(j.ring)) < j.limit {
		j.ring = append(j.ring, c)
	} else {
		*j.at(c.Revision) = c
	}
	j.last = c.Revision
	j.kept++
	j.texts += c.texts()
	for j.texts > j.most {
		j.drop()
	}
}

// drop forgets the oldest.
func (j *journal) drop() {
	oldest := j.at(j.first())
	j.texts -= oldest.texts()
	j.kept--
	*oldest = keptChange{} // or its texts would stay
}

// at is where the change of a revision is, or is to be.
func (j *journal) at(revision uint64) *keptChange { return &j.ring[(revision-j.start)%j.limit] }

// first is the revision of the oldest that is kept, last + 1 if none is.
func (j *journal) first() uint64 { return j.last - j.kept + 1 }

// reset forgets everything: the machine is another one, whose last change was revision.
func (j *journal) reset(revision uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring, j.kept, j.texts, j.last = nil, 0, 0, revision
	for w := range j.watchers {
		w.fallBehind()
	}
}

// tell gives a change to who watches for it. mu is held.
func (j *journal) tell(c *machine.Change) {
	for w := range j.byObject[c.On] {
		w.push(c)
	}
	for w := range j.wide {
		if w.matches(c) {
			w.push(c)
		}
	}
}

// revision is the latest that was kept.
func (j *journal) revision() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// history returns the latest ends of holds of an object, the latest first.
func (j *journal) history(on park.Object, most int) []keptChange {
	var out []keptChange
	j.mu.Lock()
	next := j.last
	j.mu.Unlock()
	for len(out) < most && next > 0 {
		j.mu.Lock()
		stop := max(j.first(), next-min(next, scanned)+1)
		for ; next >= stop && len(out) < most; next-- {
			if c := j.at(next); c.Type == machine.ChangeEnded && c.On == on {
				out = append(out, *c)
			}
		}
		done := next < j.first()
		j.mu.Unlock()
		if done {
			break
		}
	}
	return out
}

// A watcher is one watch. One goroutine reads it.
type watcher struct {
	journal *journal
	on      park.Object   // Name "" is all of the kind, Kind 0 all
	ready   chan struct{} // of one

	// Guarded by the journal's mu.
	seen   uint64 // everything up to it was returned, or does not match
	behind bool   // queue lacks changes that are kept
	queue  []machine.Change
}

// watch begins after a revision. close ends it. It is nil if there are as many as may be.
func (j *journal) watch(on park.Object, after uint64) *watcher {
	w := &watcher{journal: j, on: on, ready: make(chan struct{}, 1), seen: after, behind: true}
	w.ready <- struct{}{}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.watchers) == maxWatches || on.Name == "" && len(j.wide) == maxWide {
		return nil
	}
	j.watchers[w] = struct{}{}
	if on.Name == "" {
		j.wide[w] = struct{}{}
		return w
	}
	if j.byObject[on] == nil {
		j.byObject[on] = make(map[*watcher]struct{})
	}
	j.byObject[on][w] = struct{}{}
	return w
}

func (w *watcher) close() {
	j := w.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.watchers, w)
	delete(j.wide, w)
	if delete(j.byObject[w.on], w); len(j.byObject[w.on]) == 0 {
		delete(j.byObject, w.on)
	}
}

func (w *watcher) matches(c *machine.Change) bool {
	return (w.on.Kind == 0 || w.on.Kind == c.On.Kind) && (w.on.Name == "" || w.on.Name == c.On.Name)
}

// push and fallBehind are called with mu held.
func (w *watcher) push(c *machine.Change) {
	switch {
	case w.behind || c.Revision <= w.seen:
		return
	case len(w.queue) == maxBehind:
		w.fallBehind()
		return
	}
	w.queue = append(w.queue, *c)
	w.wake()
}

func (w *watcher) fallBehind() {
	w.behind, w.queue = true, nil
	w.wake()
}

func (w *watcher) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// A batch is what a watch has to say: changes, after and up to which revision it says
// everything, and how many of the first were not kept.
type batch struct {
	changes []machine.Change
	after   uint64
	upto    uint64
	skipped uint64
}

// take returns what there is; more may follow at once, for which ready has a token. It
// never waits.
func (w *watcher) take() batch {
	j := w.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	b := batch{after: w.seen}
	switch {
	case w.behind:
		w.scan(&b)
	case len(w.queue) > 0:
		b.changes, w.queue = w.queue, nil
	}
	if !w.behind {
		w.seen = max(w.seen, j.last)
	}
	b.upto = w.seen
	return b
}

// scan reads on in what is kept. mu is held.
func (w *watcher) scan(b *batch) {
	j := w.journal
	if first := j.first(); w.seen+1 < first {
		b.skipped = first - w.seen - 1
		w.seen = first - 1
	}
	end := min(j.last, w.seen+scanned)
	for r := w.seen + 1; r <= end; r++ {
		if c := j.at(r); w.matches(&c.Change) {
			b.changes = append(b.changes, c.Change)
		}
	}
	w.seen = max(w.seen, end)
	if w.behind = w.seen < j.last; w.behind {
		w.wake()
	}
}

// goOn moves the watch to a revision whose state its reader knows.
func (w *watcher) goOn(after uint64) {
	j := w.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	w.seen = max(w.seen, after)
	w.queue = slices.DeleteFunc(w.queue, func(c machine.Change) bool { return c.Revision <= after })
}

package main

import (
	"cmp"
	"slices"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// keptChanges is how many changes a node keeps for watches: few, so that some must skip.
const keptChanges = 48

// keep takes the changes of an entry.
func (n *node) keep(changes []machine.Change) {
	n.kept = append(n.kept, changes...)
	if over := len(n.kept) - keptChanges; over > 0 {
		n.kept = slices.Clone(n.kept[over:])
		n.since = n.kept[0].Revision - 1
	}
}

// changesSince are those behind a revision; ok is false if they are not kept any more.
func (n *node) changesSince(revision uint64) (changes []machine.Change, ok bool) {
	if revision < n.since {
		return nil, false
	}
	for i, c := range n.kept {
		if c.Revision > revision {
			return n.kept[i:], true
		}
	}
	return nil, true
}

// A term is one leadership.
type term struct {
	on    park.Object
	token park.Token
}

// A leader is what a watcher knows of one.
type leader struct {
	session park.SessionID
	token   park.Token
	value   string
}

// A watcher follows all elections by their changes, from whichever node it reaches: it
// resumes by revision, and where too much is missing it reads who leads (SEMANTICS B5).
type watcher struct {
	w       *world
	at      uint64
	node    *node
	led     map[park.Object]leader
	last    map[park.Object]park.Token
	terms   []term
	skipped bool
	asking  bool
	try     int
}

func newWatcher(w *world) *watcher {
	x := &watcher{w: w, led: map[park.Object]leader{}, last: map[park.Object]park.Token{}}
	x.pollSoon()
	return x
}

func (x *watcher) pollSoon() {
	d := upTo(x.w.net, 20*time.Millisecond)
	if chance(x.w.net, 16) {
		d += upTo(x.w.net, 500*time.Millisecond)
	}
	x.w.after(d, func() {
		x.poll()
		x.pollSoon()
	})
}

func (x *watcher) poll() {
	if x.asking {
		return
	}
	if x.node == nil || chance(x.w.net, 8) {
		n := x.w.nodes[x.w.net.IntN(len(x.w.nodes))]
		if x.node != nil && n != x.node && x.at > 0 {
			x.w.tally.hit(tallyWatchMoved)
		}
		x.node = n
	}
	if x.node.paused {
		x.node = nil
		return
	}
	changes, ok := x.node.changesSince(x.at)
	if !ok {
		x.read()
		return
	}
	for i := range changes {
		x.fold(&changes[i])
	}
}

func (x *watcher) fold(c *machine.Change) {
	if c.Revision != x.at+1 {
		x.w.failf("watch: change %d follows %d", c.Revision, x.at)
	}
	x.at = c.Revision
	if c.On.Kind != park.KindElection {
		return
	}
	l, led := x.led[c.On]
	now := leader{c.ID.Session, c.Token, c.Value}
	switch c.Type {
	case machine.ChangeGranted:
		if led {
			x.w.failf("watch: %s has leader %v before %v is gone", c.On.Name, now, l)
		}
		x.begins(c.On, now)
	case machine.ChangeEnded:
		if l != now {
			x.w.failf("watch: term %v of %s ends, and %v leads", now, c.On.Name, l)
		}
		delete(x.led, c.On)
	case machine.ChangeProclaimed:
		if !led || l.token != now.token {
			x.w.failf("watch: %v proclaims for %s, and %v leads", now, c.On.Name, l)
		}
		x.led[c.On] = now
	case machine.ChangeDelayed:
		if l != now {
			x.w.failf("watch: %v of %s begins its delay, and %v leads", now, c.On.Name, l)
		}
	default:
		x.w.failf("watch: an election has a change of type %d", c.Type)
	}
}

func (x *watcher) begins(on park.Object, l leader) {
	if l.token <= x.last[on] {
		x.w.failf("watch: term %d of %s follows %d", l.token, on.Name, x.last[on])
	}
	x.led[on], x.last[on] = l, l.token
	x.terms = append(x.terms, term{on, l.token})
}

// read asks the leader for all elections at one index.
func (x *watcher) read() {
	n := x.w.log.leader
	if n == nil || n.paused {
		return
	}
	x.asking = true
	x.try++
	try := x.try
	n.submit(command{
		data: machine.AppendCommand(nil, &machine.List{Kind: park.KindElection, Max: 1000}),
		done: func(result any, ok bool) {
			if list, _ := result.(machine.ObjectList); ok && x.try == try {
				x.asking = false
				x.state(&list)
			}
		},
	})
	x.w.after(300*time.Millisecond, func() {
		if x.try == try {
			x.try++
			x.asking = false
		}
	})
}

func (x *watcher) state(list *machine.ObjectList) {
	x.w.tally.hit(tallyWatchSkipped)
	x.skipped = true
	x.at = list.Revision
	old := x.led
	x.led = map[park.Object]leader{}
	slices.SortFunc(list.Objects, func(a, b machine.Summary) int { return cmp.Compare(tokenOf(&a), tokenOf(&b)) })
	for i := range list.Objects {
		s := &list.Objects[i]
		if s.Holder == nil {
			continue
		}
		l := leader{s.Holder.Session, s.Holder.Token, s.Holder.Value}
		if l.token == old[s.On].token {
			x.led[s.On] = l
			continue
		}
		x.begins(s.On, l)
	}
}

func tokenOf(s *machine.Summary) park.Token {
	if s.Holder == nil {
		return 0
	}
	return s.Holder.Token
}

// caughtUp reports whether the watcher knows everything.
func (x *watcher) caughtUp() bool { return x.at == x.w.order.revision }

// check demands that every term was seen once, or, where some were skipped, no other.
func (x *watcher) check() {
	all := x.w.order.terms
	if len(x.led) > 0 {
		x.w.failf("watch: %v lead still", x.led)
	}
	if !x.skipped && !slices.Equal(x.terms, all) {
		x.w.failf("watch: it has seen the terms %v, there were %v", x.terms, all)
	}
	for _, t := range x.terms {
		i := slices.Index(all, t)
		if i < 0 {
			x.w.failf("watch: it has seen term %v, which was not, or twice", t)
			return
		}
		all = all[i+1:]
	}
}

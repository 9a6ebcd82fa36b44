package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
)

// A diary is a journal that keeps everything in a slice and is looked through for every
// question. It knows what a journal of its limits forgets.
type diary struct {
	all   []machine.Change // since the last reset
	last  uint64           // revision
	limit int
	most  int // bytes of texts
}

// first is the oldest revision that a journal still has.
func (d *diary) first() uint64 {
	kept, texts := 0, 0
	for _, c := range slices.Backward(d.all) {
		texts += len(c.On.Name + c.Who + c.Note + c.Value + c.Trace)
		if kept == d.limit || texts > d.most {
			break
		}
		kept++
	}
	return d.last + 1 - uint64(kept)
}

// A reader is a watch and what it should have been told.
type reader struct {
	w  *watcher
	on park.Object
	at uint64 // everything to here is known to it
}

func drawOn(t *rapid.T, wide bool) park.Object {
	on := park.Object{
		Kind: park.Kind(rapid.IntRange(1, 2).Draw(t, "kind")),
		Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"),
	}
	if wide && rapid.Bool().Draw(t, "all of the kind") {
		if on.Name = ""; rapid.Bool().Draw(t, "all kinds") {
			on.Kind = 0
		}
	}
	return on
}

func covers(on park.Object, c *machine.Change) bool {
	return (on.Kind == 0 || on.Kind == c.On.Kind) && (on.Name == "" || on.Name == c.On.Name)
}

// Whatever is appended, forgotten and read in whatever order: a watch is told every change
// that it is of, once, in order, or how many there may have been.
func TestJournalIsADiary(t *testing.T) { rapid.Check(t, anyJournal) }

// FuzzJournal is TestJournalIsADiary, guided by coverage.
func FuzzJournal(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyJournal)) }

func anyJournal(t *rapid.T) {
	const limit, most = 50, 400
	j, d := newJournal(limit, most), diary{limit: limit, most: most}
	var readers []*reader
	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) {
			var changes []machine.Change
			for range rapid.IntRange(0, 30).Draw(t, "changes") {
				d.last++
				changes = append(changes, machine.Change{
					Revision: d.last, On: drawOn(t, false),
					Note: strings.Repeat("n", rapid.IntRange(0, 20).Draw(t, "note")),
					Type: machine.ChangeType(rapid.IntRange(1, 2).Draw(t, "type")),
				})
			}
			d.all = append(d.all, changes...)
			j.append(changes, time.Unix(int64(d.last), 0))
		},
		"watch": func(t *rapid.T) {
			r := &reader{on: drawOn(t, true), at: rapid.Uint64Range(0, d.last).Draw(t, "after")}
			r.w = j.watch(r.on, r.at)
			readers = append(readers, r)
		},
		"read": func(t *rapid.T) {
			if len(readers) > 0 {
				rapid.SampledFrom(readers).Draw(t, "reader").read(t, &d)
			}
		},
		"close": func(t *rapid.T) {
			if len(readers) > 0 {
				i := rapid.IntRange(0, len(readers)-1).Draw(t, "reader")
				readers[i].w.close()
				readers = slices.Delete(readers, i, i+1)
			}
		},
		"another machine": func(t *rapid.T) {
			d.last += rapid.Uint64Range(0, 100).Draw(t, "further")
			d.all = nil
			j.reset(d.last)
		},
		"": func(t *rapid.T) { compareHistory(t, j, &d) },
	})
	for _, r := range readers {
		for r.at < d.last {
			r.read(t, &d)
		}
		r.w.close()
	}
	if n := len(j.watchers) + len(j.wide) + len(j.byObject); n != 0 {
		t.Fatalf("%d entries of watches are left", n)
	}
}

// read takes what the watch says, which must be what the diary has between what the reader
// knew and what it says it now knows.
func (r *reader) read(t *rapid.T, d *diary) {
	select {
	case <-r.w.ready:
	default:
	}
	b := r.w.take()
	if b.skipped != 0 {
		if r.at+1+b.skipped != d.first() {
			t.Fatalf("%d after %d skipped, kept is from %d", b.skipped, r.at, d.first())
		}
		r.at += b.skipped
	} else if lost := d.last - uint64(len(d.all)); r.at < lost && b.upto > r.at {
		t.Fatalf("nothing skipped after %d, and %d were lost by a reset", r.at, lost)
	}
	var want []string
	for i := range d.all {
		if c := &d.all[i]; c.Revision > r.at && c.Revision <= b.upto && covers(r.on, c) {
			want = append(want, fmt.Sprint(*c))
		}
	}
	var got []string
	for i := range b.changes {
		got = append(got, fmt.Sprint(b.changes[i]))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("changes after %d to %d of %v are\n%v\nshould be\n%v", r.at, b.upto, r.on, got, want)
	}
	if b.upto < r.at || b.upto > d.last {
		t.Fatalf("it says all to %d, of %d to %d", b.upto, r.at, d.last)
	}
	if b.upto == r.at && r.at < d.last {
		t.Fatalf("it says nothing, and is at %d of %d", r.at, d.last)
	}
	r.at = b.upto
}

func compareHistory(t *rapid.T, j *journal, d *diary) {
	on, most := drawOn(t, false), rapid.IntRange(1, 5).Draw(t, "most")
	var want []uint64
	for i := len(d.all) - 1; i >= 0 && len(want) < most; i-- {
		if c := &d.all[i]; c.Revision >= d.first() && c.Type == machine.ChangeEnded && c.On == on {
			want = append(want, c.Revision)
		}
	}
	var got []uint64
	for _, c := range j.history(on, most) {
		if c.at.Unix() < int64(c.Revision) {
			t.Fatalf("change %d is said to be of %v", c.Revision, c.at)
		}
		got = append(got, c.Revision)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the last %d ends of %v are %v, should be %v", most, on, got, want)
	}
}

// A watch that is not read costs no more than its queue, and misses nothing that is kept.
func TestUnreadWatchFallsBehind(t *testing.T) {
	j, on := newJournal(10*maxBehind, maxTexts), park.Object{Kind: park.KindLock, Name: "x"}
	w := j.watch(on, 0)
	defer w.close()
	w.take()
	for r := range uint64(3 * maxBehind) {
		j.append([]machine.Change{{Revision: r + 1, On: on}}, time.Time{})
	}
	if len(w.queue) > maxBehind || !w.behind {
		t.Fatalf("%d changes wait; behind: %v", len(w.queue), w.behind)
	}
	next := uint64(1)
	for range 10 {
		<-w.ready
		for _, c := range w.take().changes {
			if c.Revision != next {
				t.Fatalf("change %d follows %d", c.Revision, next-1)
			}
			next++
		}
		if next > 3*maxBehind {
			return
		}
	}
	t.Fatalf("only %d changes were told", next-1)
}

// There are as many watches as may be, and those of more than one object are few.
func TestWatchesHaveALimit(t *testing.T) {
	j := newJournal(1, maxTexts)
	lock := park.Object{Kind: park.KindLock}
	var wide *watcher
	for range maxWide {
		wide = j.watch(lock, 0)
	}
	if wide == nil || j.watch(park.Object{}, 0) != nil {
		t.Error("the limit of watches of many objects is another")
	}
	one := park.Object{Kind: park.KindLock, Name: "x"}
	var named *watcher
	for range maxWatches - maxWide {
		named = j.watch(one, 0)
	}
	if named == nil || j.watch(one, 0) != nil {
		t.Error("the limit of watches is another")
	}
	wide.close()
	if j.watch(lock, 0) == nil {
		t.Error("none may follow one that ended")
	}
	named.close()
	if j.watch(lock, 0) != nil || j.watch(one, 0) == nil {
		t.Error("one that ended makes room for another kind")
	}
}

// Expected waits follow from how long holds last, who holds for how long already, and how
// many are ahead.
func TestExpectedWaits(t *testing.T) {
	const s = int64(time.Second)
	waiter := machine.Party{N: 1}
	for name, c := range map[string]struct {
		d    machine.Description
		want []time.Duration
	}{
		"a lock, held": {
			machine.Description{On: park.Object{Kind: park.KindLock}, Holders: []machine.Party{{N: 1, For: 4 * s}}, Waiting: 2, Waiters: []machine.Party{waiter, waiter}},
			[]time.Duration{6 * time.Second, 16 * time.Second, 26 * time.Second},
		},
		"a lock, held for longer than usual": {
			machine.Description{On: park.Object{Kind: park.KindLock}, Holders: []machine.Party{{N: 1, For: 40 * s}}},
			[]time.Duration{0},
		},
		"a lock in its lock-delay": {
			machine.Description{On: park.Object{Kind: park.KindLock}, Holders: []machine.Party{{N: 1, For: 40 * s, Delayed: 7 * s}}},
			[]time.Duration{7 * time.Second},
		},
		"more wait than are described": {
			machine.Description{On: park.Object{Kind: park.KindLock}, Holders: []machine.Party{{N: 1, For: 10 * s}}, Waiting: 5, Waiters: []machine.Party{waiter}},
			[]time.Duration{0, 50 * time.Second},
		},
		"a semaphore with permits left": {
			machine.Description{On: park.Object{Kind: park.KindSemaphore}, Traits: park.Traits{Limit: 4, Held: 2}, Holders: []machine.Party{{N: 2, For: s}}},
			[]time.Duration{0},
		},
		"a full semaphore": {
			machine.Description{
				On: park.Object{Kind: park.KindSemaphore}, Traits: park.Traits{Limit: 2, Held: 2}, Waiting: 3, Waiters: []machine.Party{waiter, waiter, waiter},
				Holders: []machine.Party{{N: 1, For: 8 * s}, {N: 1, For: 3 * s}},
			},
			[]time.Duration{2 * time.Second, 7 * time.Second, 12 * time.Second, 17 * time.Second},
		},
		"a semaphore with too few permits left for the first": {
			machine.Description{
				On: park.Object{Kind: park.KindSemaphore}, Traits: park.Traits{Limit: 4, Held: 2}, Waiting: 2, Waiters: []machine.Party{{N: 4}, waiter},
				Holders: []machine.Party{{N: 1, For: 8 * s}, {N: 1, For: 3 * s}},
			},
			[]time.Duration{7 * time.Second, 17 * time.Second, 17 * time.Second},
		},
		"a lock that is shared": {
			machine.Description{
				On: park.Object{Kind: park.KindLock}, Holders: []machine.Party{{N: 1, Shared: true, For: 8 * s}, {N: 1, Shared: true, For: 3 * s}},
				Waiting: 3, Waiters: []machine.Party{waiter, {N: 1, Shared: true}, {N: 1, Shared: true}},
			},
			[]time.Duration{7 * time.Second, 17 * time.Second, 17 * time.Second, 27 * time.Second},
		},
	} {
		if got := expectedWaits(&c.d, 10*time.Second); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, should be %v", name, got, c.want)
		}
	}
}

// A node that applies its log anew does not take that for the time at which things happened.
func TestEndedIsNotTheReplay(t *testing.T) {
	r := NewReplica()
	if _, err := r.Apply(1, raftstore.Entry{Increment: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	c := &keptChange{Change: machine.Change{Clock: park.Clock(4 * time.Second)}, at: r.applied}
	if got := r.ended(c); !got.Equal(r.applied.Add(-6 * time.Second)) {
		t.Errorf("replayed: %v before now", r.applied.Sub(got))
	}
	c.at = r.applied.Add(-time.Hour) // without a leader for most of it
	if got := r.ended(c); !got.Equal(c.at) {
		t.Errorf("seen: %v before now", r.applied.Sub(got))
	}
}

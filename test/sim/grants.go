package main

import (
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// grant reads that a wait is granted, and demands that nobody stood ahead of it, that what
// it got was free, and that its token is above all before it.
func (o *order) grant(w *world, x *asked, e *machine.Event) {
	t := &tenure{
		id: park.ID{Session: e.Session, Seq: e.Seq}, arms: x.wait.Arms, token: e.Token, delay: x.wait.Delay, gone: x.gone,
	}
	if x.wait.Commit != park.Every {
		t.arms = slices.Clone(t.arms[e.Arm : e.Arm+1])
	} else {
		t.arms = slices.Clone(t.arms)
		if len(t.arms) > 1 {
			w.tally.hit(tallyAllGranted)
		}
	}
	for _, a := range t.arms {
		o.first(w, x, a.On)
		o.free(w, x.id, a)
		if fenced(a) {
			if e.Token <= o.tokens[a.On] {
				w.failf("order: token %d of %s follows %d", e.Token, a.On.Name, o.tokens[a.On])
			}
			o.tokens[a.On] = e.Token
		}
	}
	o.leave(x)
	o.holds[x.id] = t
}

// first demands that nobody stands ahead of who is granted: nobody of a higher priority who
// came in an earlier entry, nobody of the same who came before. A transfer passes them.
func (o *order) first(w *world, x *asked, on park.Object) {
	if on.Kind == park.KindElection && o.heirs[x.id.Session] == o.entry {
		return
	}
	q := o.queues[on]
	at := slices.Index(q, x)
	for i, other := range q {
		switch {
		case other == x || other.gone != 0:
		case other.wait.Prio > x.wait.Prio && other.came < o.entry,
			other.wait.Prio == x.wait.Prio && i < at:
			w.failf("order: %v is granted %s, and %v stands ahead of it", x.id, on.Name, other.id)
		case i < at:
			w.tally.hit(tallyPriority)
		}
	}
}

// free demands that what is granted can be had beside what is held.
func (o *order) free(w *world, id park.ID, a park.Arm) {
	held := a.N
	for other, t := range o.holds {
		if t.gone != 0 || o.givings[other] == o.entry {
			continue
		}
		for _, b := range t.arms {
			if b.On != a.On {
				continue
			}
			held += b.N
			if clash(a, b) {
				w.failf("order: %v is granted %s, which %v holds", id, a.On.Name, other)
			}
		}
	}
	if a.On.Kind == park.KindSemaphore && held > o.limits[a.On] {
		w.failf("order: %d of %s are held, of %d", held, a.On.Name, o.limits[a.On])
	}
}

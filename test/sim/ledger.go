package main

import (
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A ledger folds the changes of all entries: who holds what, by them alone.
type ledger struct {
	revision uint64
	holds    map[lot]*machine.Change
	terms    []term
}

// A lot is what a call holds of an object.
type lot struct {
	id park.ID
	on park.Object
}

// fold takes the changes of an entry.
func (l *ledger) fold(w *world, changes []machine.Change) {
	for i := range changes {
		c := &changes[i]
		if l.revision++; c.Revision != l.revision {
			w.failf("changes: %d follows %d", c.Revision, l.revision-1)
		}
		at := lot{c.ID, c.On}
		h := l.holds[at]
		if (h == nil) != (c.Type == machine.ChangeGranted || c.Type == machine.ChangeResized) {
			w.failf("changes: %+v, and it has %+v", c, h)
			return
		}
		switch c.Type {
		case machine.ChangeGranted:
			l.holds[at] = c
			if c.On.Kind == park.KindElection {
				l.terms = append(l.terms, term{c.On, c.Token})
				w.tally.hit(tallyTerm)
			}
		case machine.ChangeEnded:
			if h.N -= c.N; h.N <= 0 {
				delete(l.holds, at)
			}
			if c.Ending == machine.EndTransferred {
				w.tally.hit(tallyTransferred)
			}
		case machine.ChangeProclaimed:
			h.Value = c.Value
			w.tally.hit(tallyProclaimed)
		case machine.ChangeDelayed, machine.ChangeResized:
		default:
			w.failf("changes: %+v, of what nobody here uses", c)
		}
	}
}

// agree demands that the changes have made the same of everything as the order has.
func (l *ledger) agree(w *world, holds map[park.ID]*tenure) {
	arms := 0
	for _, t := range holds {
		for _, a := range t.arms {
			h := l.holds[lot{t.id, a.On}]
			if h == nil || h.N != a.N || h.Token != t.token || h.Value != a.Value {
				w.failf("changes: %v has %+v, by the changes %+v", t.id, a, h)
			}
			arms++
		}
	}
	if arms != len(l.holds) {
		w.failf("changes: %d are held by them, %d by the events", len(l.holds), arms)
	}
}

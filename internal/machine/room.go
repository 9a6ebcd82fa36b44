package machine

import (
	"errors"
	"iter"

	"coordd.dev/internal/park"
	"coordd.dev/lock"
)

// What a kind's room is asked, in the one place that knows which room a kind has.

// admitArm says whether an arm may be asked for at all: 0 if so.
func (m *Machine) admitArm(a park.Arm) (park.Code, int64) {
	if a.On.Kind == park.KindElection {
		return m.elections.Admit(a)
	}
	if a.Value != "" {
		return park.Invalid, 0
	}
	return m.locks.Admit(a)
}

// ready says whether an arm can proceed if nobody stands ahead of it.
func (m *Machine) ready(a park.Arm) bool {
	if a.On.Kind == park.KindElection {
		return m.elections.Ready(a)
	}
	return m.locks.Ready(a)
}

// commit gives a call what a ready arm asks for.
func (m *Machine) commit(id park.ID, a park.Arm) {
	if a.On.Kind == park.KindElection {
		m.elections.Commit(id, a)
	} else {
		m.locks.Commit(id, a)
	}
}

// giveBack takes n of an arm's object from a call that holds it.
func (m *Machine) giveBack(id park.ID, a park.Arm, n int64) {
	if a.On.Kind == park.KindElection {
		m.elections.Release(id, a.On)
	} else {
		m.locks.Release(id, a.On, n)
	}
}

// rehold gives every room what the calls of a snapshot hold.
func (m *Machine) rehold() error {
	of := func(election bool) iter.Seq2[park.ID, park.Arm] {
		return func(yield func(park.ID, park.Arm) bool) {
			for id, h := range m.book.Holds() {
				for _, a := range h.Arms {
					if (a.On.Kind == park.KindElection) == election && !yield(id, a) {
						return
					}
				}
			}
		}
	}
	count := func(holds iter.Seq2[park.ID, park.Arm]) (n int) {
		for range holds {
			n++
		}
		return n
	}
	if !m.locks.Rehold(count(of(false)), of(false)) || !m.elections.Rehold(count(of(true)), of(true)) {
		return errors.New("an object is held twice")
	}
	return nil
}

// exclusive says whether a hold of the arm excludes all others, and so has a token.
func exclusive(a park.Arm) bool { return a.On.Kind == park.KindElection || lock.Exclusive(a) }

package machine

import (
	"errors"
	"iter"

	"coordd.dev/internal/park"
)

// A room has the objects of some kinds, and their rules. It sees no queue, no session's state
// and no time.
type room interface {
	// Admit says whether an arm may be asked for at all: 0 if so, else why not, with the limit
	// that was met or what is stored. The first arm that is admitted stores a limit or a capacity.
	Admit(a park.Arm) (park.Code, int64)

	// Ready says whether an arm can proceed, if nobody stands ahead of it.
	Ready(a park.Arm) park.Verdict

	// Commit gives a call what a ready arm asks for. peer is the other side's arm if they meet:
	// then both are committed, one after the other.
	Commit(id park.ID, a park.Arm, prio int32, peer *park.Arm) park.Result

	// Held is what Commit returned for a hold, once more.
	Held(id park.ID, a park.Arm) park.Result

	// Release takes n of an arm's object from a call that holds it.
	Release(id park.ID, a park.Arm, n int64)

	// Exclusive says whether a hold of the arm excludes all others, and so has a token.
	Exclusive(a park.Arm) bool

	// Tidy forgets an object on which nobody waits, if nothing of it must stay.
	Tidy(on park.Object)

	// Delete forgets an object on which nobody waits: Busy while it is used.
	Delete(on park.Object) (park.Code, int64)

	// First returns the first object, from the given one on, that the room has.
	First(from park.Object) (park.Object, bool)

	// Holders yields who holds an object, by call.
	Holders(on park.Object) iter.Seq[park.ID]

	// Traits tells what an object is; false if the room has nothing of that name.
	Traits(on park.Object) (park.Traits, bool)
}

// room returns the room of a kind: the one place that knows which has which.
func (m *Machine) room(k park.Kind) room {
	switch k {
	case park.KindLock, park.KindSemaphore, park.KindCond:
		return &m.locks
	case park.KindElection:
		return &m.elections
	case park.KindWaitGroup:
		return &m.groups
	case park.KindOnce:
		return &m.onces
	case park.KindMap:
		return &m.tables
	case park.KindChan:
		return &m.channels
	default:
		return nowhere{}
	}
}

// lastKind is the last of the kinds that there are.
const lastKind = park.KindChan

// rooms yields every room once.
func (m *Machine) rooms() []room {
	return []room{&m.locks, &m.elections, &m.groups, &m.onces, &m.tables, &m.channels}
}

// nowhere is the room of kinds that this version does not know: it admits nothing.
type nowhere struct{}

func (nowhere) Admit(park.Arm) (park.Code, int64)                      { return park.Invalid, 0 }
func (nowhere) Ready(park.Arm) park.Verdict                            { return park.No }
func (nowhere) Commit(park.ID, park.Arm, int32, *park.Arm) park.Result { panic("machine: no room") }
func (nowhere) Held(park.ID, park.Arm) park.Result                     { panic("machine: no room") }
func (nowhere) Release(park.ID, park.Arm, int64)                       { panic("machine: no room") }
func (nowhere) Exclusive(park.Arm) bool                                { return false }
func (nowhere) Tidy(park.Object)                                       {}
func (nowhere) Delete(park.Object) (park.Code, int64)                  { return park.Invalid, 0 }
func (nowhere) First(park.Object) (park.Object, bool)                  { return park.Object{}, false }
func (nowhere) Holders(park.Object) iter.Seq[park.ID]                  { return func(func(park.ID) bool) {} }
func (nowhere) Traits(park.Object) (park.Traits, bool)                 { return park.Traits{}, false }

// exclusive says whether a hold of the arm excludes all others, and so has a token.
func (m *Machine) exclusive(a park.Arm) bool { return m.room(a.On.Kind).Exclusive(a) }

// InEvery says whether a LockAll may have arms of a kind: of those that it can hold until it
// has all, and nobody meets (SEMANTICS D4).
func InEvery(k park.Kind) bool {
	return k == park.KindLock || k == park.KindSemaphore || k == park.KindElection
}

// touchAll marks the heads of all queues of an object to be tried.
func (m *Machine) touchAll(on park.Object) {
	switch on.Kind {
	case park.KindChan:
		m.touch(on, park.Send)
		m.touch(on, park.Recv)
	case park.KindOnce:
		m.touch(on, park.Alone)
		m.touch(on, park.Recv)
	default:
		m.touch(on, park.Alone)
	}
}

// rehold gives the rooms whose holders are derived what the calls of a snapshot hold.
func (m *Machine) rehold() error {
	var n [lastKind + 1]int // arms by kind
	for _, h := range m.book.Holds() {
		for _, a := range h.Arms {
			if a.On.Kind == 0 || a.On.Kind > lastKind {
				return errors.New("something of no kind is held")
			}
			n[a.On.Kind]++
		}
	}
	for _, r := range m.rooms() {
		derived, ok := r.(interface {
			Rehold(n int, holds iter.Seq2[park.ID, park.Arm]) bool
		})
		arms := 0
		for kind := park.KindLock; kind <= lastKind; kind++ {
			if m.room(kind) == r {
				arms += n[kind]
			}
		}
		if ok && arms > 0 && !derived.Rehold(arms, m.heldIn(r)) {
			return errors.New("an object is held twice")
		}
	}
	return nil
}

// heldIn yields what all calls hold of a room.
func (m *Machine) heldIn(r room) iter.Seq2[park.ID, park.Arm] {
	return func(yield func(park.ID, park.Arm) bool) {
		for id, h := range m.book.Holds() {
			for _, a := range h.Arms {
				if m.room(a.On.Kind) == r && !yield(id, a) {
					return
				}
			}
		}
	}
}

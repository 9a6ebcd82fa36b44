package election

import (
	"fmt"
	"iter"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	// MaxValue is the longest value, in bytes.
	MaxValue = 4 << 10

	// MaxLed bounds the leaderships of the whole room when a candidate is admitted.
	MaxLed = 1_000_000
)

// A Room has who leads. Make it with NewRoom.
type Room struct {
	// leaders is derived from the holds, which package session keeps.
	leaders cow.Index[park.Object, park.ID]
}

// NewRoom returns a room where nobody leads.
func NewRoom() Room { return Room{cow.NewIndex[park.Object, park.ID]()} }

// Admit says whether an arm may be asked for at all: 0 if so, else why not, with the
// limit that was met.
func (r *Room) Admit(a park.Arm) (park.Code, int64) {
	switch {
	case !park.ValidName(a.On.Name):
		return park.Invalid, park.MaxName
	case a.On.Kind != park.KindElection || a.Side != park.Alone || a.Shared || a.Ack || a.N != 1 || a.Limit != 0 || a.Codec != "":
		return park.Invalid, 1
	case len(a.Value) > MaxValue:
		return park.Invalid, MaxValue
	case r.leaders.Len() >= MaxLed:
		return park.Limit, MaxLed
	}
	return 0, 0
}

// Ready says whether a candidate can lead now, given that nobody stands ahead of it.
func (r *Room) Ready(a park.Arm) park.Verdict {
	if _, led := r.leaders.Get(a.On); led {
		return park.No
	}
	return park.Yes
}

// Exclusive says that a leadership excludes all others, and so has a token.
func (r *Room) Exclusive(park.Arm) bool { return true }

// Commit makes a ready candidate the leader.
func (r *Room) Commit(id park.ID, a park.Arm, _ int32, _ *park.Arm) park.Result {
	if _, had := r.leaders.Put(a.On, id); had {
		panic("election: it has a leader already")
	}
	return park.Result{Code: park.Granted}
}

// Held is what Commit returned for a leadership.
func (r *Room) Held(park.ID, park.Arm) park.Result { return park.Result{Code: park.Granted} }

// Release ends the leadership of a call.
func (r *Room) Release(id park.ID, a park.Arm, _ int64) {
	if leader, led := r.leaders.Delete(a.On); !led || leader != id {
		panic("election: the call does not lead")
	}
}

// Tidy has nothing to do, and there is nothing to Delete: an election that nobody leads is not
// in the room.
func (r *Room) Tidy(park.Object) {}

// Delete refuses.
func (r *Room) Delete(park.Object) (park.Code, int64) { return park.Invalid, 0 }

// Traits has none.
func (r *Room) Traits(park.Object) (park.Traits, bool) { return park.Traits{}, false }

// Leader returns who leads.
func (r *Room) Leader(on park.Object) (park.ID, bool) { return r.leaders.Get(on) }

// Holders yields who leads.
func (r *Room) Holders(on park.Object) iter.Seq[park.ID] {
	return func(yield func(park.ID) bool) {
		if id, ok := r.Leader(on); ok {
			yield(id)
		}
	}
}

// First returns the first election, from the given one on, that has a leader.
func (r *Room) First(from park.Object) (park.Object, bool) {
	on, _, ok := r.leaders.First(from)
	return on, ok
}

// Copy returns a copy, in O(1).
func (r *Room) Copy() Room { return Room{r.leaders.Copy()} }

// Rehold puts the leaderships of a snapshot back into a room that has none; there are n.
// It reports false if an election has two leaders.
func (r *Room) Rehold(n int, holds iter.Seq2[park.ID, park.Arm]) bool {
	return r.leaders.Fill(n, func(yield func(park.Object, park.ID) bool) {
		for id, a := range holds {
			if !yield(a.On, id) {
				return
			}
		}
	})
}

// Check compares who leads here with what the holds say: leads reports whether a call's
// hold is the leadership of an election, terms is how many such holds there are.
func (r *Room) Check(leads func(id park.ID, on park.Object) bool, terms int) (faults []error) {
	for on, id := range r.leaders.All() {
		if !leads(id, on) {
			faults = append(faults, fmt.Errorf("J1: the room has %v lead %v", id, on))
		}
	}
	if r.leaders.Len() != terms {
		faults = append(faults, fmt.Errorf("J1: the room has %d leaders, there are %d", r.leaders.Len(), terms))
	}
	return faults
}

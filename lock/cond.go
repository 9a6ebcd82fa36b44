package lock

import "coordd.dev/internal/park"

// A cond has a queue and nothing else, so the room keeps nothing of it. Who waits on one has
// given up a lock in the same step, and an arm of the cond that names the lock. Whoever is
// woken stands in the lock's queue, with an arm of the lock (SEMANTICS E6): which queue, and
// under which ticket, is package machine's business.

// admitCond says whether an arm of a cond may be asked for. The room may be full: who waits
// on a cond has given back as much as it will take again.
func admitCond(a park.Arm) (park.Code, int64) {
	switch {
	case a.N != 1 || a.Limit != 0 || a.Shared:
		return park.Invalid, 1
	case !park.ValidName(a.Value):
		return park.Invalid, park.MaxName
	}
	return 0, 0
}

// Signalled is what the arm of a cond becomes when it takes a Signal: an arm of the lock that
// knows the cond, to which the Signal goes back if the wait ends before it has the lock.
func Signalled(a park.Arm) park.Arm {
	b := Woken(a)
	b.Value = a.On.Name
	return b
}

// Woken is what the arm of a cond becomes by a Broadcast: an arm of the lock like any other.
func Woken(a park.Arm) park.Arm {
	if a.On.Kind != park.KindCond {
		panic("lock: an arm of no cond is woken")
	}
	return park.Arm{On: park.Object{Kind: park.KindLock, Name: a.Value}, N: 1}
}

// TookSignal returns the cond whose Signal an arm has taken; ok is false if it has none.
func TookSignal(a park.Arm) (cond park.Object, ok bool) {
	if a.On.Kind != park.KindLock || a.Value == "" {
		return park.Object{}, false
	}
	return park.Object{Kind: park.KindCond, Name: a.Value}, true
}

package latch

import (
	"iter"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	// MaxResult is the longest result of a once, in bytes.
	MaxResult = 64 << 10

	// MaxOnces bounds the onces that are run or done, when one who would begin another is
	// admitted, and MaxStored the bytes of all results. Who would begin one
	// is refused as well when the longest result would not fit: a function must not
	// run for nothing.
	MaxOnces  = 1_000_000
	MaxStored = 1 << 30
)

// How the function of a once ended. The values are the wire's.
const (
	Returned = iota + 1
	Panicked
)

// Onces is the room of onces. Make it with NewOnces.
type Onces struct {
	done cow.Table[park.Object, outcome]

	// runners is derived from the holds, which package session keeps.
	runners cow.Index[park.Object, park.ID]

	stored int64 // the bytes of all results
}

// An outcome is how a function ended, and with what.
type outcome struct {
	how    int64
	result string
}

// NewOnces returns a room where nothing was ever run.
func NewOnces() Onces {
	return Onces{done: cow.NewTable[park.Object, outcome](), runners: cow.NewIndex[park.Object, park.ID]()}
}

// Admit says whether an arm may be asked for at all: 0 if so, else why not, with the
// limit that was met. An arm on the side Alone runs the function or gets its result, one
// on Recv gets the result only.
func (o *Onces) Admit(a park.Arm) (park.Code, int64) {
	switch {
	case !park.ValidName(a.On.Name):
		return park.Invalid, park.MaxName
	case a.On.Kind != park.KindOnce || a != park.Arm{On: a.On, N: 1, Side: a.Side}:
		return park.Invalid, 1
	case a.Side == park.Recv:
		return 0, 0
	case a.Side != park.Alone:
		return park.Invalid, 1
	}
	if _, has := o.Traits(a.On); has {
		return 0, 0
	}
	switch {
	case o.done.Len()+o.runners.Len() >= MaxOnces:
		return park.Limit, MaxOnces
	case o.stored+MaxResult > MaxStored:
		return park.Limit, MaxStored
	}
	return 0, 0
}

// Ready says whether a caller can have the result now, or run the function, given that
// nobody stands ahead of it.
func (o *Onces) Ready(a park.Arm) park.Verdict {
	_, done := o.done.Get(a.On)
	_, run := o.runners.Get(a.On)
	if done || a.Side == park.Alone && !run {
		return park.Yes
	}
	return park.No
}

// Commit gives a ready caller the result, or else makes it the runner.
func (o *Onces) Commit(id park.ID, a park.Arm, _ int32, _ *park.Arm) park.Result {
	if end, done := o.done.Get(a.On); done {
		return park.Result{Code: park.Done, Value: end.how, Data: end.result}
	}
	if a.Side != park.Alone {
		panic("latch: the once is not done")
	}
	if _, had := o.runners.Put(a.On, id); had {
		panic("latch: the once has a runner already")
	}
	return park.Result{Code: park.Granted}
}

// Complete takes the result from the call that runs the function, whose hold is over then
// without a Release. A refusal leaves everything as it is; NotFound says that the call
// does not run it.
func (o *Onces) Complete(id park.ID, on park.Object, result string, how int64) (park.Code, int64) {
	size := int64(len(result))
	switch runner, run := o.runners.Get(on); {
	case !run || runner != id:
		return park.NotFound, 0
	case how != Returned && how != Panicked:
		return park.Invalid, Panicked
	case size > MaxResult:
		return park.Invalid, MaxResult
	case o.stored+size > MaxStored:
		return park.Limit, MaxStored
	}
	o.runners.Delete(on)
	o.done.Put(on, outcome{how, result})
	o.stored += size
	return park.Done, 0
}

// Exclusive says whether a hold of the arm excludes all others, and so has a token: a
// runner's does.
func (o *Onces) Exclusive(a park.Arm) bool { return a.Side == park.Alone }

// Held returns what Commit returned to a runner.
func (o *Onces) Held(park.ID, park.Arm) park.Result { return park.Result{Code: park.Granted} }

// Release ends a run without a result: the next caller runs.
func (o *Onces) Release(id park.ID, a park.Arm, _ int64) {
	if runner, run := o.runners.Delete(a.On); !run || runner != id {
		panic("latch: the call does not run the once")
	}
}

// Runner returns who runs a once.
func (o *Onces) Runner(on park.Object) (park.ID, bool) { return o.runners.Get(on) }

// Holders yields who runs, if anybody does.
func (o *Onces) Holders(on park.Object) iter.Seq[park.ID] {
	return func(yield func(park.ID) bool) {
		if id, ok := o.Runner(on); ok {
			yield(id)
		}
	}
}

// Tidy does nothing: a once that is not done and not run is not in the room.
func (o *Onces) Tidy(park.Object) {}

// Delete forgets a result, so that the next caller runs.
func (o *Onces) Delete(on park.Object) (park.Code, int64) {
	if _, run := o.runners.Get(on); run {
		return park.Busy, 1
	}
	end, done := o.done.Delete(on)
	if !done {
		return park.NotFound, 0
	}
	o.stored -= int64(len(end.result))
	return park.Done, 0
}

// Traits returns what a once is.
func (o *Onces) Traits(on park.Object) (park.Traits, bool) {
	end, done := o.done.Get(on)
	if !done {
		_, run := o.runners.Get(on)
		return park.Traits{}, run
	}
	traits := park.Traits{Bytes: int64(len(end.result)), State: park.OnceDone}
	if end.how == Panicked {
		traits.State = park.OncePanicked
	}
	return traits, true
}

// First returns the first once, from the given one on, that is run or done.
func (o *Onces) First(from park.Object) (park.Object, bool) {
	running, _, run := o.runners.First(from)
	done, isDone := o.done.First(from)
	return least(running, run, done, isDone)
}

// Copy returns a copy, in O(1).
func (o *Onces) Copy() Onces { return Onces{o.done.Copy(), o.runners.Copy(), o.stored} }

// Rehold puts the runs of a snapshot back into a room that has none; there are n. It
// reports false if a once is run twice, or run and done.
func (o *Onces) Rehold(n int, holds iter.Seq2[park.ID, park.Arm]) bool {
	undone := true
	distinct := o.runners.Fill(n, func(yield func(park.Object, park.ID) bool) {
		for id, a := range holds {
			_, done := o.done.Get(a.On)
			undone = undone && !done
			if !yield(a.On, id) {
				return
			}
		}
	})
	return undone && distinct
}

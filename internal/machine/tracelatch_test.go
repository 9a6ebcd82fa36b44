package machine_test

import (
	"fmt"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What traces know of wait groups and onces.

// latchOp parses an op; false if it is none of theirs.
func (w *words) latchOp(verb string, target func() park.Seq) (op machine.Op, ok bool) {
	switch verb {
	case "add":
		op.Do, op.On = machine.DoAdd, park.Object{Kind: park.KindWaitGroup, Name: w.next()}
		op.N = w.number(w.next())
	case "complete":
		op.Do, op.To, op.N = machine.DoComplete, target(), 1
		if w.flag("panic") {
			op.N = 2
		}
		op.Value = w.next()
	default:
		return op, false
	}
	return op, true
}

// latchArm parses an arm; false if it is none of theirs.
func (w *words) latchArm(verb string) (a park.Arm, ok bool) {
	a.N = 1
	switch verb {
	case "wait":
		a.On = park.Object{Kind: park.KindWaitGroup, Name: w.next()}
	case "do":
		a.On = park.Object{Kind: park.KindOnce, Name: w.next()}
	case "result":
		a.On, a.Side = park.Object{Kind: park.KindOnce, Name: w.next()}, park.Recv
	default:
		return a, false
	}
	return a, true
}

// latchText is what an object is, of a kind of theirs.
func latchText(on park.Object, t park.Traits) string {
	switch {
	case on.Kind == park.KindWaitGroup:
		return fmt.Sprintf("counts %d%s", t.Held, map[park.State]string{park.GroupCut: ", cut"}[t.State])
	case t.State == park.OnceDone:
		return fmt.Sprintf("done, with %d bytes", t.Bytes)
	case t.State == park.OncePanicked:
		return fmt.Sprintf("panicked, with %d bytes", t.Bytes)
	}
	return "is not done"
}

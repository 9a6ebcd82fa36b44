package server

import (
	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/rights"
)

// nothing is a resource that no rule is about.
const nothing = rights.AnyKind + 1

// needsOf appends what an op of a stream needs. It looks at the op as it would be in the log,
// so that what is checked is what is done. An op that is not here nobody may do.
func needsOf(to []need, op *machine.Op) []need {
	on := func(v rights.Verb, o park.Object) []need {
		return append(to, need{v, rights.Resource{Kind: rights.Kind(o.Kind), Name: o.Name}})
	}
	switch op.Do {
	case machine.DoEnd, machine.DoRelease, machine.DoProclaim, machine.DoTransfer, machine.DoComplete, machine.DoAck,
		machine.DoNoop, machine.DoLeave, machine.DoRefuse:
		return to // about one's own calls only
	case machine.DoWait, machine.DoAwait:
		for i := range op.Wait.Arms {
			to = on(rights.Acquire, op.Wait.Arms[i].On)
		}
		if op.Do == machine.DoAwait { // its lock is the value of its one arm
			to = append(to, need{rights.Acquire, rights.Resource{Kind: rights.Lock, Name: op.Wait.Arms[0].Value}})
		}
		return to
	case machine.DoAdd, machine.DoClose, machine.DoSignal:
		return on(rights.Acquire, op.On)
	case machine.DoTable:
		return on(verbOfMap(coordv1.MapVerb(op.Table.Verb)), op.On)
	case machine.DoDescribe:
		return on(rights.Read, op.On)
	case machine.DoResize, machine.DoDelete:
		return on(rights.Admin, op.On)
	default:
		return append(to, need{rights.Admin, rights.Resource{Kind: nothing}})
	}
}

package machine_test

import (
	"fmt"
	"slices"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// latchArm is a wait for a group or a once, seldom one that must be refused.
func (h *history) latchArm() park.Arm {
	a := park.Arm{On: h.object(park.KindWaitGroup), N: 1}
	if h.intn(2) == 0 {
		a.On.Kind = park.KindOnce
		if h.intn(3) == 0 {
			a.Side = park.Recv
		}
	}
	switch h.intn(150) {
	case 0:
		a.N = int64(h.intn(2) * 2)
	case 1:
		a.Side = park.Side(1 + h.intn(2))
	case 2:
		a.Shared = true
	case 3:
		a.Ack = true
	case 4:
		a.Value = "v"
	case 5:
		a.Limit = 1
	case 6:
		a.On.Name = ""
	}
	return a
}

// ofLatch is an Add, a completion or a deletion by a session's call; where the model knows a
// once that the session runs, mostly of this.
func (h *history) ofLatch(s park.SessionID, seq, target park.Seq) machine.Op {
	op := machine.Op{Seq: seq}
	switch n := h.intn(20); {
	case n < 11:
		op.Do, op.On, op.N = machine.DoAdd, h.object(park.KindWaitGroup), h.delta()
		if h.intn(2) == 0 {
			op.On.Name = "a"
		}
		if n := h.model.count(op.On); n > 0 && h.intn(5) < 2 {
			op.N = -1 - int64(h.intn(min(3, int(n))))
		}
		if h.intn(60) == 0 {
			op.On.Name = ""
		} else if h.intn(60) == 0 {
			op.On.Kind = park.KindOnce
		}
	case n < 17:
		op.Do, op.To, op.N, op.Value = machine.DoComplete, target, int64(1+h.intn(2)), fmt.Sprint("result ", h.intn(100))
		if h.intn(30) == 0 {
			op.N = int64(h.intn(2) * 3)
		}
		if h.intn(25) == 0 {
			op.Value = strings.Repeat("r", 65537)
		}
		runs := func(c *modelCall) bool {
			return c.s.id == s && c.state == held && c.arms[0].On.Kind == park.KindOnce
		}
		if i := slices.IndexFunc(h.model.calls, runs); i >= 0 && h.intn(6) > 0 {
			op.To = h.model.calls[i].seq
		}
	default:
		op.Do, op.On = machine.DoDelete, h.object(park.Kind(int(park.KindWaitGroup)+h.intn(2)))
		if h.intn(30) == 0 {
			op.On.Name = ""
		}
	}
	return op
}

// delta is what an Add adds.
func (h *history) delta() int64 {
	if h.intn(60) == 0 {
		return []int64{1 << 31, 1<<63 - 1, -1 << 63, -1 << 31}[h.intn(4)]
	}
	return int64(h.intn(7)) - 2
}

// What a run of random histories must have seen of wait groups and onces.
var mustSeeLatches = []string{
	"at zero", "at zero, waited", "at zero, in a select", "cut short", "cut short, waited", "cut short, in a select",
	"read", "read, waited", "read, in a select", "read, who would have run",
	"ran", "ran, waited", "ran, in a select", "ran after another ran in vain", "a once in a lock-delay",
	"a latch in a LockAll refused", "a latch's arm refused",
	"below zero", "below zero of a cut group", "a new round of a cut group", "cut, and others are left", "unary cut",
	"settled its own", "settled another's", "unary added",
	"completed", "completed, run by a select", "unary completed", "completed by who does not run",
	"completed what is no once", "a result too long",
	"deletion of what is waited for", "deletion of what counts", "deletion of what is run", "deleted ", "deleted once",
	"data again", "a later arm's result again", "a wait's result left to the successor",
	"change 9", "change 10", "ending 9", "code 15", "described kind 4", "described kind 5",
}

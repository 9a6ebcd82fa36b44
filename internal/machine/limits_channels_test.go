package machine_test

import (
	"fmt"
	"strings"
	"testing"

	"coordd.dev/channel"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

func chanOp(arms ...park.Arm) machine.Op {
	return machine.Op{Do: machine.DoWait, Wait: machine.Wait{Commit: park.Any, Arms: arms}}
}

func sendArm(name, value string, capacity int64) park.Arm {
	return park.Arm{On: park.Object{Kind: park.KindChan, Name: name}, Side: park.Send, N: 1, Limit: capacity, Value: value}
}

func recvArm(name string, capacity int64) park.Arm {
	return park.Arm{On: park.Object{Kind: park.KindChan, Name: name}, Side: park.Recv, N: 1, Limit: capacity}
}

func ackArm(name string, capacity int64) park.Arm {
	a := recvArm(name, capacity)
	a.Ack = true
	return a
}

// trying is the op as a try.
func trying(op machine.Op) machine.Op {
	op.Wait.Try = true
	return op
}

// Values of more than MaxParkedBytes do not wait. Who need not wait is not refused for them,
// and neither is who brings no value.
func TestMaxParkedBytes(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	element := strings.Repeat("v", channel.MaxElement)
	const arms = 64
	op := chanOp()
	for range arms {
		op.Wait.Arms = append(op.Wait.Arms, sendArm("x", element, 0))
	}
	for range machine.MaxParkedBytes / channel.MaxElement / arms {
		if n := len(r.frame(s, op)); n != 0 {
			t.Fatalf("%d answers; it should wait", n)
		}
	}
	send := chanOp(sendArm("x", "v", 0))
	await := machine.Op{Do: machine.DoAwait, Wait: machine.Wait{Commit: park.Any, Arms: []park.Arm{
		{On: park.Object{Kind: park.KindCond, Name: "c"}, N: 1, Value: "l"},
	}}}
	locked := r.frame(s+1, lockOp("l"), leadOp("e", "v"))
	await.To = locked[0].Seq
	for _, c := range []struct {
		name string
		op   machine.Op
		want park.Code
	}{
		{"a send that must wait", send, park.Limit},
		{"one that tries", trying(send), park.Busy},
		{"a candidate that must wait", leadOp("e", "v"), park.Limit},
		{"a wait for a cond", await, park.Limit},
		{"a send that need not wait", chanOp(sendArm("y", "v", 1)), park.Done},
		{"a candidate that need not wait", leadOp("f", "v"), park.Granted},
	} {
		if got := r.code(s+1, c.op); got != c.want {
			t.Errorf("%s: code %d, should be %d", c.name, got, c.want)
		}
	}
	for name, op := range map[string]machine.Op{
		"a lock without a value": lockOp("l"), "an empty element": chanOp(sendArm("x", "", 0)),
	} {
		if n := len(r.frame(s+1, op)); n != 0 {
			t.Errorf("%s: %d answers; it should wait", name, n)
		}
	}
	if n := len(r.frame(s, endOp(1), chanOp(sendArm("x", "v", 0)))); n != 1 {
		t.Errorf("%d answers; there is room again, and it should wait", n)
	}
	r.check()
}

// The longest wait is in a record that a snapshot can have.
func TestMaxValues(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	long := chanOp()
	for i := range machine.MaxArms {
		name := fmt.Sprintf("%0*d", park.MaxName, i)
		a := sendArm(name, strings.Repeat("v", machine.MaxValues/machine.MaxArms), 0)
		a.Codec = strings.Repeat("c", channel.MaxCodec)
		long.Wait.Arms = append(long.Wait.Arms, a)
	}
	longer := chanOp(append([]park.Arm{}, long.Wait.Arms...)...)
	longer.Wait.Arms[7].Value += "v"
	if c := r.code(s, longer); c != park.Invalid {
		t.Errorf("a longer one: code %d", c)
	}
	if n := len(r.frame(s, long)); n != 0 {
		t.Errorf("%d answers; it should wait", n)
	}
	restored(t, r.machine)
}

var _ = fmt.Sprint
var _ = session.MaxOpen
var _ = ackArm

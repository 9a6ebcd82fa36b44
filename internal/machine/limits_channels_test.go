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

// glut gives a session kept elements of MaxBytes in all, through a channel of its own.
func glut(r *rig, s park.SessionID) {
	r.tb.Helper()
	element := strings.Repeat("v", channel.MaxElement)
	for range session.MaxBytes / channel.MaxElement {
		events := r.frame(s, chanOp(sendArm("glut", element, 1)), chanOp(recvArm("glut", 1)))
		if len(events) != 2 || events[1].Code != park.Done || len(events[1].Data) != channel.MaxElement {
			r.tb.Fatalf("receives: %d events, %+v", len(events), events[0].Code)
		}
	}
}

// codes are those of events, each with its session and its seq.
func codes(events []machine.Event) (out []string) {
	for _, e := range events {
		out = append(out, fmt.Sprintf("%d/%d:%d", e.Session, e.Seq, e.Code))
	}
	return out
}

// A session whose kept results have MaxBytes is given no more (SEMANTICS B3): what it would
// receive stays where it is, or is for the next. It may send and lock, and everything once it
// acknowledges.
func TestFullOfResults(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	waits := chanOp(recvArm("meet", 0), lockOp("none").Wait.Arms[0])
	r.frame(s+1, lockOp("none"))
	r.frame(s, waits, chanOp(recvArm("q", 2)), chanOp(ackArm("q", 2), recvArm("r", 0))) // 1, 2, 3
	glut(r, s)
	for _, c := range []struct {
		name string
		op   machine.Op
		want park.Code
	}{
		{"receive", chanOp(recvArm("q", 2)), park.Full},
		{"receive to acknowledge", chanOp(ackArm("q", 2)), park.Full},
		{"a select that may receive", chanOp(lockOp("free").Wait.Arms[0], recvArm("q", 2)), park.Full},
		{"lock", lockOp("free"), park.Granted},
		{"send", chanOp(sendArm("q", "v1", 2)), park.Done}, // and nobody is left on q
	} {
		if got := codes(r.frame(s, c.op)); len(got) == 0 || !strings.HasSuffix(got[0], fmt.Sprint(":", c.want)) {
			t.Errorf("%s: %v, should be code %d", c.name, got, c.want)
		}
		r.check()
	}
	other := r.frame(s+1, chanOp(recvArm("q", 2)), chanOp(recvArm("meet", 0)))
	if got := fmt.Sprint(codes(other)); got != fmt.Sprintf("[%d/2:%d]", s+1, park.Done) || other[0].Data != "v1" {
		t.Errorf("the next receives %v, %q", got, other[0].Data)
	}
	r.check()
	// A newcomer meets the first who is not full; who is and stands before it leaves.
	met := codes(r.frame(s+1, chanOp(sendArm("meet", "v2", 0))))
	want := []string{
		fmt.Sprintf("%d/1:%d", s, park.Full), fmt.Sprintf("%d/3:%d", s+1, park.Done), fmt.Sprintf("%d/4:%d", s+1, park.Done),
	}
	if fmt.Sprint(met) != fmt.Sprint(want) {
		t.Errorf("a newcomer meets %v, should be %v", met, want)
	}
	r.check()
	r.apply(0, &machine.Frame{Session: s, Epoch: 1, Acked: []machine.Range{{First: 1, Last: 1 << 40}}})
	if c := r.code(s, trying(chanOp(recvArm("q", 2)))); c != park.Busy {
		t.Errorf("after it acknowledged: code %d", c)
	}
	r.check()
}

// Who waits and is full leaves when somebody comes whom it would meet, and when it would be
// the first to proceed.
func TestFullWhileWaiting(t *testing.T) {
	r := newRig(t)
	s := r.open(3, minute)
	for range 3 {
		r.frame(s, chanOp(recvArm("meet", 0)))
	}
	r.frame(s, chanOp(sendArm("closing", "", 1)), chanOp(ackArm("closing", 1)), chanOp(recvArm("closing", 1)))
	glut(r, s)
	if got := codes(r.frame(s+1, trying(chanOp(sendArm("meet", "v", 0))))); len(got) != 4 {
		t.Errorf("a try to send to three who are full: %v", got)
	}
	if got := codes(r.frame(s+1, chanOp(sendArm("meet", "v", 0)))); len(got) != 0 {
		t.Errorf("a send to nobody: %v", got)
	}
	r.check()
	// A delivery is not kept but held, and its element comes back to who waits for it.
	if got := codes(r.frame(s, endOp(5))); len(got) != 2 || got[1] != fmt.Sprintf("%d/6:%d", s, park.Full) {
		t.Errorf("what is given back is for who is full: %v", got)
	}
	r.check()
	if got := r.frame(s+2, chanOp(recvArm("closing", 1)), chanOp(recvArm("meet", 0))); len(got) != 3 {
		t.Errorf("the next receive: %+v", got)
	}
	r.check()
}

// What a session has received and not acknowledged counts with its kept results: all of it is
// sent again when it attaches.
func TestFullOfDeliveries(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	element := strings.Repeat("v", channel.MaxElement)
	n := session.MaxBytes / channel.MaxElement
	for i := range n {
		if c := r.code(s+1, chanOp(sendArm("q", element, int64(n)))); c != park.Done {
			t.Fatalf("send: code %d", c)
		}
		want, op := park.Granted, chanOp(ackArm("q", int64(n)))
		if i == n-1 {
			want, op = park.Done, chanOp(recvArm("q", int64(n))) // one is a kept result
		}
		if c := r.code(s, op); c != want {
			t.Fatalf("receive: code %d, should be %d", c, want)
		}
	}
	r.check()
	r.machine = restored(t, r.machine)
	r.check()
	if c := r.code(s, chanOp(ackArm("q", int64(n)))); c != park.Full {
		t.Errorf("one more: code %d", c)
	}
	if got := codes(r.frame(s, ackOp(1), endOp(2))); len(got) != 2 {
		t.Fatalf("settling two: %v", got)
	}
	r.check()
	if e := r.frame(s, chanOp(ackArm("q", int64(n))))[0]; e.Code != park.Granted || len(e.Data) != channel.MaxElement {
		t.Errorf("what was given back: code %d", e.Code)
	}
	if e := r.frame(s, chanOp(ackArm("q", int64(n))), trying(chanOp(ackArm("q", int64(n))))); e[0].Code != park.Busy {
		t.Errorf("and no more: code %d", e[0].Code)
	}
	r.check()
}

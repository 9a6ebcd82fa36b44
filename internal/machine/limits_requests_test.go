package machine_test

import (
	"fmt"
	"strings"
	"testing"

	"coordd.dev/election"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// call applies a call of session s under an id, and returns what came of it.
func (r *rig) call(s park.SessionID, id string, op machine.Op) (machine.Called, []machine.Event) {
	results, events := r.apply(0, &machine.Call{Session: s, Request: id, Op: op})
	return results[0].(machine.Called), events
}

// openUnary opens a session without a stream.
func (r *rig) openUnary() park.SessionID {
	r.tb.Helper()
	results, _ := r.apply(0, &machine.Open{TTL: minute, Who: "somebody"})
	opened := results[0].(machine.Opened)
	if opened.Refusal != 0 {
		r.tb.Fatalf("open: %+v", opened)
	}
	return opened.Session
}

func leadOp(name, value string) machine.Op {
	return machine.Op{Do: machine.DoWait, Wait: machine.Wait{
		Commit: park.Any, Arms: []park.Arm{{On: park.Object{Kind: park.KindElection, Name: name}, N: 1, Value: value}},
	}}
}

// Values and traces have a longest; who breaks it spends its seq or its id.
func TestLongestStrings(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	traced := lockOp("x")
	traced.Wait.Trace = strings.Repeat("t", machine.MaxTrace)
	longer := traced
	longer.Wait.Trace += "t"
	value := strings.Repeat("v", election.MaxValue)
	valued := lockOp("y")
	valued.Wait.Arms[0].Value = "v"
	r.frame(s, leadOp("mine", "v"))
	led := r.last[s]
	for _, c := range []struct {
		name string
		op   machine.Op
		want park.Code
	}{
		{"the longest trace", traced, park.Granted},
		{"a longer trace", longer, park.Invalid},
		{"the longest value", leadOp("e", value), park.Granted},
		{"a longer value", leadOp("f", value+"v"), park.Invalid},
		{"a value of a lock", valued, park.Invalid},
		{"proclaims the longest", machine.Op{Do: machine.DoProclaim, To: led, Value: value}, park.Done},
		{"proclaims a longer", machine.Op{Do: machine.DoProclaim, To: led, Value: value + "v"}, park.Invalid},
	} {
		if got := r.code(s, c.op); got != c.want {
			t.Errorf("%s: code %d, should be %d", c.name, got, c.want)
		}
	}
	r.check()
}

// A request id has a longest and is not empty; what is refused of it leaves no trace.
func TestRequestIDs(t *testing.T) {
	r := newRig(t)
	s := r.openUnary()
	for _, c := range []struct {
		name, id string
		op       machine.Op
		want     machine.Refusal
	}{
		{"the longest", strings.Repeat("r", session.MaxRequest), machine.Op{Do: machine.DoNoop}, 0},
		{"a longer one", strings.Repeat("r", session.MaxRequest+1), machine.Op{Do: machine.DoNoop}, machine.RefusedInvalid},
		{"an End of a longer one", strings.Repeat("r", session.MaxRequest+1), machine.Op{Do: machine.DoEnd}, machine.RefusedInvalid},
		{"none", "", machine.Op{Do: machine.DoNoop}, machine.RefusedInvalid},
		{"an End of none", "", machine.Op{Do: machine.DoEnd}, machine.RefusedInvalid},
		{"any bytes", "\x00\xff", machine.Op{Do: machine.DoNoop}, 0},
		{"an unknown op", "unknown", machine.Op{Do: 99}, 0},
		{"Leave needs none", "", machine.Op{Do: machine.DoLeave}, 0},
	} {
		if got, _ := r.call(s, c.id, c.op); got.Refusal != c.want {
			t.Errorf("%s: refused with %d, should be %d", c.name, got.Refusal, c.want)
		}
		r.check()
	}
}

// A session without a stream has as many open calls as any, and its ends are never refused.
// What was answered with full is remembered as that.
func TestMaxOpenUnary(t *testing.T) {
	r := newRig(t)
	s := r.openUnary()
	for n := range session.MaxOpen - 1 {
		r.call(s, fmt.Sprint("r", n), lockOp(fmt.Sprint(n)))
	}
	r.call(s, "led", leadOp("e", "v"))
	for _, c := range []struct {
		id   string
		op   machine.Op
		want park.Code
	}{
		{"more", lockOp("more"), park.Full},
		{"more", lockOp("more"), park.Full},
		{"resize", machine.Op{Do: machine.DoResize, On: park.Object{Kind: park.KindSemaphore, Name: "s"}, N: 4}, park.Full},
		{"noop", machine.Op{Do: machine.DoNoop}, park.Done},
	} {
		if _, events := r.call(s, c.id, c.op); len(events) != 1 || events[0].Code != c.want {
			t.Errorf("%s at MaxOpen: %+v, should be code %d", c.id, events, c.want)
		}
	}
	for _, id := range []string{"r0", "r1", "never"} {
		if called, _ := r.call(s, id, endOp(0)); called.Code != park.Done {
			t.Errorf("end of %s at MaxOpen: %+v", id, called)
		}
	}
	if _, events := r.call(s, "one more", lockOp("more")); len(events) != 1 || events[0].Code != park.Granted {
		t.Errorf("below MaxOpen: %+v", events)
	}
	r.check()
	r.apply(2 * minute)
	r.check()
	if n := r.machine.Counts(); n.Sessions != 0 || n.Holds != 0 {
		t.Errorf("left: %+v", n)
	}
}

// A list has at most so many objects, and so many bytes.
func TestListLimits(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	for n := range 1_100 {
		r.frame(s, lockOp(fmt.Sprintf("x%04d", n)))
	}
	list := func(l machine.List) machine.ObjectList {
		results, _ := r.apply(0, &l)
		return results[0].(machine.ObjectList)
	}
	if l := list(machine.List{Max: 1 << 40}); len(l.Objects) != 1_000 || !l.More {
		t.Errorf("%d objects, more %v", len(l.Objects), l.More)
	}
	if l := list(machine.List{Max: 100, After: park.Object{Kind: park.KindLock, Name: "x0999"}}); len(l.Objects) != 100 || l.More {
		t.Errorf("the last page: %d objects, more %v", len(l.Objects), l.More)
	}
	for n := range 200 {
		op := leadOp(fmt.Sprintf("e%04d", n), strings.Repeat("v", election.MaxValue))
		op.Wait.Note = strings.Repeat("n", machine.MaxNote)
		r.frame(s, op)
	}
	told, pages := 0, 0
	for after := (park.Object{}); ; pages++ {
		l := list(machine.List{Kind: park.KindElection, Max: 1_000, After: after})
		bytes := 0
		for _, o := range l.Objects {
			bytes += len(o.Holder.Note) + len(o.Holder.Value)
		}
		if bytes > 300<<10 {
			t.Errorf("a page of %d bytes", bytes)
		}
		if told += len(l.Objects); !l.More {
			break
		}
		after = l.Objects[len(l.Objects)-1].On
	}
	if told != 200 || pages < 4 {
		t.Errorf("%d objects on %d pages", told, pages+1)
	}
}

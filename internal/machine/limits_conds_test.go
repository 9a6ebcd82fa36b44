package machine_test

import (
	"bytes"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/table"
)

func tableOp(verb table.Verb, key, value string) machine.Op {
	return machine.Op{Do: machine.DoTable, On: park.Object{Kind: park.KindMap, Name: "m"}, Table: &table.Op{Verb: verb, Key: key, Value: value}}
}

func awaitOp(to park.Seq, cond, lock string) machine.Op {
	return machine.Op{Do: machine.DoAwait, To: to, Wait: machine.Wait{
		Commit: park.Any, Arms: []park.Arm{{On: park.Object{Kind: park.KindCond, Name: cond}, N: 1, Value: lock}},
	}}
}

func signalOp(cond string, n int64) machine.Op {
	return machine.Op{Do: machine.DoSignal, On: park.Object{Kind: park.KindCond, Name: cond}, N: n}
}

// A session whose kept results have as many bytes as they may changes no map until it
// acknowledges, and reads on. One without a stream forgets instead.
func TestMapFull(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	big := string(bytes.Repeat([]byte{'v'}, table.MaxValue))
	r.frame(s, tableOp(table.Store, "k", big))
	for range session.MaxBytes / table.MaxValue {
		if c := r.code(s, tableOp(table.Swap, "k", big)); c != park.Done {
			t.Fatalf("code %d", c)
		}
	}
	revision := r.machine.Revision()
	for verb := table.Load; verb <= table.Range; verb++ {
		op := tableOp(verb, "k", "v")
		if verb == table.Clear || verb == table.Range {
			op.Table.Key = ""
		}
		want := park.Full
		if verb == table.Load || verb == table.Range {
			want = park.Done
		}
		if e := r.frame(s, op)[0]; e.Code != want || want == park.Full && e.Value != session.MaxBytes {
			t.Errorf("verb %d: code %d (%d), should be %d", verb, e.Code, e.Value, want)
		}
	}
	if r.machine.Revision() != revision {
		t.Error("what was refused has changed the map")
	}
	r.apply(0, &machine.Frame{Session: s, Epoch: 1, Acked: []machine.Range{{First: 2, Last: 2}}})
	if c := r.code(s, tableOp(table.Swap, "k", "v")); c != park.Done {
		t.Errorf("after an acknowledgement: code %d", c)
	}
	r.check()

	u := r.openUnary()
	r.call(u, "store", tableOp(table.Store, "k", big))
	for n := range 2 * session.MaxBytes / table.MaxValue {
		if _, e := r.call(u, string(rune('a'+n)), tableOp(table.Swap, "k", big)); e[0].Code != park.Done {
			t.Fatalf("code %d", e[0].Code)
		}
	}
	if _, e := r.call(u, string(rune('a'+2*session.MaxBytes/table.MaxValue-1)), tableOp(table.Swap, "k", "v")); e[0].Data != big {
		t.Error("the last request has another answer now")
	}
	r.check()
}

// At MaxOpen calls a session changes no map, signals nobody and deletes nothing, but may read,
// and wait on a cond: that takes the place of the hold that it gives up.
func TestMaxOpenConds(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	for range session.MaxOpen - 1 {
		r.frame(s, signalOp("c", 1))
	}
	r.frame(s, lockOp("x"))
	for _, c := range []struct {
		name string
		op   machine.Op
		want park.Code
	}{
		{"signal", signalOp("c", 1), park.Full},
		{"store", tableOp(table.Store, "k", "v"), park.Full},
		{"delete", deleteOp(park.Object{Kind: park.KindSemaphore, Name: "s"}), park.Full},
		{"load", tableOp(table.Load, "k", ""), park.Done},
	} {
		if got := r.code(s, c.op); got != c.want {
			t.Errorf("%s at MaxOpen: code %d, should be %d", c.name, got, c.want)
		}
	}
	if events := r.frame(s, awaitOp(session.MaxOpen, "c", "x")); len(events) != 0 {
		t.Errorf("await at MaxOpen: %+v", events)
	}
	r.check()
	other := r.open(1, minute)
	r.frame(other, signalOp("c", 1))
	if d := r.machine.Describe(lockOp("x").Wait.Arms[0].On); len(d.Holders) != 1 {
		t.Errorf("signalled, it is %+v", d)
	}
	r.check()
}

// A cond has at most MaxWaiters: one more is refused, and keeps its lock. A Broadcast moves
// all of them, though the lock's queue has as many then.
func TestMaxWaitersOnCond(t *testing.T) {
	if testing.Short() {
		t.Skip("parks a hundred thousand waits")
	}
	r := newRig(t)
	const sessions = 2
	s := r.open(sessions+1, minute)
	for n := range machine.MaxWaiters {
		id := s + park.SessionID(n%sessions)
		r.frame(id, lockOp("x"), awaitOp(r.last[id]+1, "c", "x"))
	}
	r.check()
	last := s + sessions
	events := r.frame(last, lockOp("x"), awaitOp(1, "c", "x"))
	if len(events) != 2 || events[1].Code != park.Limit || events[1].Value != machine.MaxWaiters {
		t.Errorf("one more: %+v", events)
	}
	if e := r.frame(last, signalOp("c", 1<<40))[0]; e.Code != park.Done || e.Value != machine.MaxWaiters {
		t.Errorf("broadcast: %+v", e)
	}
	if n := r.machine.Waiting(lockOp("x").Wait.Arms[0].On); n != machine.MaxWaiters {
		t.Errorf("%d wait for the lock", n)
	}
	if e := r.frame(last, endOp(1)); len(e) != 2 || e[0].Code != park.Done || e[1].Session != s || e[1].Code != park.Granted {
		t.Errorf("released: %+v", e)
	}
	r.check()
}

// What may be asked for of a map, whose limits its room has.
func TestMapLimits(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	big := string(bytes.Repeat([]byte{'v'}, table.MaxValue))
	for n := range table.MaxBytes/table.MaxValue - 1 {
		r.frame(s, tableOp(table.Store, string(rune('a'+n)), big))
	}
	revision := r.machine.Revision()
	e := r.frame(s, tableOp(table.Store, "last", big))[0]
	if e.Code != park.Limit || e.Value != table.MaxBytes || r.machine.Revision() != revision {
		t.Errorf("a map that would be too large: %+v", e)
	}
	if e := r.frame(s, tableOp(table.Store, "small", "v"))[0]; e.Code != park.Done {
		t.Errorf("a value that fits: %+v", e)
	}
	r.check()
}

package machine_test

import (
	"fmt"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/latch"
)

// Encodings, snapshots and limits of wait groups and onces.

func groupOf(name string) park.Object { return park.Object{Kind: park.KindWaitGroup, Name: name} }

func onceOf(name string) park.Object { return park.Object{Kind: park.KindOnce, Name: name} }

func addOp(name string, n int64) machine.Op {
	return machine.Op{Do: machine.DoAdd, On: groupOf(name), N: n}
}

func completeOp(to park.Seq, result string, how int64) machine.Op {
	return machine.Op{Do: machine.DoComplete, To: to, Value: result, N: how}
}

func deleteOp(on park.Object) machine.Op { return machine.Op{Do: machine.DoDelete, On: on} }

// latchOp waits for the first of some objects.
func latchOp(side park.Side, objects ...park.Object) machine.Op {
	op := machine.Op{Do: machine.DoWait, Wait: machine.Wait{Commit: park.First}}
	for _, on := range objects {
		op.Wait.Arms = append(op.Wait.Arms, park.Arm{On: on, Side: side, N: 1})
	}
	return op
}

// latchSpecimens is every op of theirs, with every field set.
func latchSpecimens() []machine.Command {
	ops := []machine.Op{
		addOp("job/ä", 3), addOp("job/ä", -1<<63), completeOp(300, "forty-two", latch.Panicked),
		deleteOp(onceOf("init")), latchOp(park.Recv, onceOf("init")),
		latchOp(park.Alone, onceOf("init"), groupOf("job/ä")),
	}
	for i := range ops {
		ops[i].Seq = park.Seq(6 + i)
	}
	return []machine.Command{
		&machine.Frame{Session: 5, Epoch: 3, Ops: ops},
		&machine.Call{Session: 6, Secret: machine.Secret{1, 2, 3, 15: 255}, Request: "c", Target: "r-0", Op: completeOp(0, "", 1)},
	}
}

// latched is a machine with groups that count, are cut, and both; with onces that are run,
// waited for, done and panicked; and with what is kept of all that.
func latched() *machine.Machine {
	m := machine.New()
	entry := func(commands ...machine.Command) { m.Apply(m.Index()+1, ms, commands) }
	attach := &machine.Attach{Secret: machine.Secret{1}, Instance: 7, Epoch: 3, TTL: 10_000 * ms, Who: "somebody"}
	entry(&machine.Bootstrap{Cluster: "4f2c", Floor: 1000}, attach, attach, attach,
		&machine.Open{Secret: machine.Secret{2}, TTL: 10_000 * ms, Who: "caller"})
	frame := func(s park.SessionID, ops ...machine.Op) machine.Command {
		for i := range ops {
			ops[i].Seq = park.Seq(i + 1)
		}
		return &machine.Frame{Session: s, Epoch: 3, Ops: ops}
	}
	call := func(id string, op machine.Op) machine.Command {
		return &machine.Call{Session: 4, Secret: machine.Secret{2}, Request: id, Op: op}
	}
	delayed := latchOp(park.Alone, onceOf("delayed"))
	delayed.Wait.Delay, delayed.Wait.Trace = 30_000*ms, "trace"
	entry(
		frame(1, addOp("counts", 2), addOp("both", 1), addOp("zero", 300), latchOp(park.Alone, onceOf("run")), delayed),
		frame(2, addOp("counts", 1), addOp("both", 70_000), latchOp(park.Alone, groupOf("counts"), groupOf("x")),
			latchOp(park.Alone, onceOf("run")), latchOp(park.Recv, onceOf("run"), onceOf("done")),
			latchOp(park.Alone, onceOf("done")), completeOp(6, "result", latch.Returned)),
		frame(3, addOp("zero", 1), addOp("both", 1), delayed, latchOp(park.Alone, onceOf("panicked")),
			completeOp(4, "boom", latch.Panicked), latchOp(park.Alone, onceOf("run"))),
		call("waits", latchOp(park.Alone, groupOf("counts"), onceOf("run"))),
		call("runs", latchOp(park.Alone, onceOf("unary"))),
		call("reads", latchOp(park.Recv, onceOf("none"), onceOf("panicked"))),
		call("adds", addOp("counts", 1)),
	)
	entry(&machine.Attach{
		Instance: 7, Epoch: 4, TTL: 10_000 * ms, Replaces: 3, ReplacesSecret: machine.Secret{1}, Wanted: []machine.Range{{First: 1, Last: 6}},
	}, frame(2), frame(1, addOp("counts", 2), addOp("both", 1), addOp("zero", 300)))
	entry(&machine.Frame{Session: 1, Epoch: 3, Ops: []machine.Op{{Seq: 6, Do: machine.DoAdd, On: groupOf("zero"), N: -301}}})
	return m
}

// A snapshot of the third format with latches stays readable, and its hash the same.
func TestGoldenLatches(t *testing.T) {
	old, _ := golden(t, "snapshot-3-latches", latched())
	for on, want := range map[park.Object]park.Traits{
		groupOf("counts"):  {Held: 4},
		groupOf("both"):    {Held: 70_001, State: park.GroupCut},
		groupOf("zero"):    {State: park.GroupCut},
		onceOf("run"):      {},
		onceOf("done"):     {Bytes: 6, State: park.OnceDone},
		onceOf("panicked"): {Bytes: 4, State: park.OncePanicked},
	} {
		if d := old.Describe(on); !d.Stored || d.Traits != want {
			t.Errorf("%v is %+v, should be %+v", on, d.Traits, want)
		}
	}
}

// Every damaged byte of such a snapshot is found.
func TestDamagedLatches(t *testing.T) { testDamage(t, written(t, latched())) }

// At MaxOpen calls a session adds, reads and deletes nothing, but settles and completes (H1):
// up to twice as many.
func TestMaxOpenOfLatches(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	r.frame(s, latchOp(park.Alone, onceOf("o")))
	r.frame(s+1, addOp("g", 4*session.MaxOpen))
	ops := make([]machine.Op, 0, session.MaxOpen)
	for range session.MaxOpen - 1 {
		ops = append(ops, addOp("g", -1))
	}
	r.frame(s, ops...)
	for name, c := range map[string]struct {
		op   machine.Op
		want park.Code
	}{
		"add":    {addOp("g", 1), park.Full},
		"delete": {deleteOp(onceOf("other")), park.Full},
		"read":   {latchOp(park.Recv, onceOf("other")), park.Full},
		"settle": {addOp("g", -1), park.Done},
	} {
		if got := r.code(s, c.op); got != c.want {
			t.Errorf("%s, with MaxOpen calls: code %d, should be %d", name, got, c.want)
		}
	}
	if c := r.code(s, completeOp(1, "result", latch.Returned)); c != park.Done {
		t.Errorf("complete, with MaxOpen calls: code %d", c)
	}
	r.check()
	for n := range ops {
		ops[n].Seq = 0
	}
	r.frame(s, ops[1:]...)
	if c := r.code(s, addOp("g", -1)); c != park.Done {
		t.Errorf("the last that is kept: code %d", c)
	}
	if c := r.code(s, addOp("g", -1)); c != park.Full {
		t.Errorf("settle, with twice MaxOpen calls: code %d", c)
	}
	if c := r.code(s, completeOp(1, "result", latch.Returned)); c != park.Full {
		t.Errorf("complete, with twice MaxOpen calls: code %d", c)
	}
	r.check()
}

// The results and their ends that a completion may have.
func TestCompleteLimits(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	r.frame(s, latchOp(park.Alone, onceOf("o")))
	for name, c := range map[string]struct {
		op   machine.Op
		want park.Code
	}{
		"no end":           {completeOp(1, "", 0), park.Invalid},
		"an unknown end":   {completeOp(1, "", latch.Panicked+1), park.Invalid},
		"a longer result":  {completeOp(1, string(make([]byte, latch.MaxResult+1)), 1), park.Invalid},
		"of no call":       {completeOp(0, "", 1), park.NotFound},
		"of a call to be":  {completeOp(1<<62, "", 1), park.NotFound},
		"of all the lasts": {completeOp(1<<64-1, "", 1), park.NotFound},
	} {
		if got := r.code(s, c.op); got != c.want {
			t.Errorf("%s: code %d, should be %d", name, got, c.want)
		}
	}
	if got := r.code(s, completeOp(1, string(make([]byte, latch.MaxResult)), 1)); got != park.Done {
		t.Errorf("the longest result: code %d", got)
	}
	r.check()
}

// What a session reads of onces is not kept, however much it is, and a session that has as many
// bytes of other results as it may still reads and runs.
func TestManyReads(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	r.frame(s, latchOp(park.Alone, onceOf("o")), completeOp(1, string(make([]byte, latch.MaxResult)), 1))
	kept := machine.Op{Do: machine.DoWait, Wait: machine.Wait{Commit: park.Any, Arms: []park.Arm{
		{On: park.Object{Kind: park.KindChan, Name: "c"}, N: 1, Side: park.Recv, Limit: 1},
	}}}
	send := kept
	send.Wait.Arms = []park.Arm{{On: kept.Wait.Arms[0].On, N: 1, Side: park.Send, Limit: 1, Value: string(make([]byte, 1<<16))}}
	for range session.MaxBytes >> 16 {
		r.frame(s, send, kept)
	}
	if c := r.code(s, kept); c != park.Full {
		t.Fatalf("a session with that many bytes receives: code %d", c)
	}
	for range 100 {
		if c := r.code(s, latchOp(park.Alone, onceOf("o"))); c != park.Done {
			t.Fatalf("read: code %d", c)
		}
	}
	if c := r.code(s, latchOp(park.Alone, onceOf("other"))); c != park.Granted {
		t.Errorf("run: code %d", c)
	}
	r.check()
}

// A session has MaxShares balances at most; its end cuts them all, in one entry.
func TestMaxSharesOfSession(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	for n := range latch.MaxShares {
		r.frame(s, addOp(fmt.Sprint("g", n), 1))
	}
	if e := r.frame(s, addOp("another", 1))[0]; e.Code != park.Limit || e.Value != latch.MaxShares {
		t.Errorf("another: code %d (%d)", e.Code, e.Value)
	}
	if c := r.code(s+1, addOp("another", 1)); c != park.Done {
		t.Errorf("another's: code %d", c)
	}
	r.check()
	r.frame(s+1, latchOp(park.Alone, groupOf("g77")))
	_, events := r.apply(0, &machine.Revoke{Session: s, Now: true})
	if n := len(r.machine.Changes()); n != latch.MaxShares {
		t.Errorf("%d groups are cut", n)
	}
	if e := events[len(events)-1]; e.Session != s+1 || e.Code != park.CutShort {
		t.Errorf("the Wait got %+v", e)
	}
	r.check()
}

// One Add may settle a balance of every session that there can be, and no more.
func TestSettleAll(t *testing.T) {
	if testing.Short() {
		t.Skip("opens MaxSessions sessions")
	}
	r := newRig(t)
	s := r.open(machine.MaxSessions, minute)
	frames := make([]machine.Command, machine.MaxSessions)
	for n := range frames {
		frames[n] = &machine.Frame{Session: s + park.SessionID(n), Epoch: 1, Ops: []machine.Op{addOp("g", 1)}}
		frames[n].(*machine.Frame).Ops[0].Seq = 1
	}
	r.apply(0, frames...)
	r.last[s] = 1
	if e := r.frame(s, addOp("g", -machine.MaxSessions))[0]; e.Code != park.Done || e.Value != 0 {
		t.Errorf("code %d (%d)", e.Code, e.Value)
	}
	if !r.machine.Describe(groupOf("g")).Empty() {
		t.Error("something is left")
	}
	r.check()
}

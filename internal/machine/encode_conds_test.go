package machine_test

import (
	"bytes"
	"errors"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
	"coordd.dev/table"
)

// condSpecimens is every command and op of conds and maps, with every field set.
func condSpecimens() []machine.Command {
	c, m := park.Object{Kind: park.KindCond, Name: "ready"}, park.Object{Kind: park.KindMap, Name: "jobs/ä"}
	full := table.Op{Verb: table.CompareAndSwap, Key: "k\x00", Value: "new\xff", Old: "old", Codec: "json"}
	return []machine.Command{
		&machine.Frame{Session: 5, Epoch: 3, Ops: []machine.Op{
			{Seq: 7, Do: machine.DoAwait, To: 4, Wait: machine.Wait{
				Commit: park.Any, Prio: 2, Delay: 15_000 * ms, Limit: 1000 * ms, Note: "cond", Trace: "trace",
				Arms: []park.Arm{{On: c, N: 1, Value: "y"}},
			}},
			{Seq: 8, Do: machine.DoSignal, On: c, N: 1},
			{Seq: 9, Do: machine.DoSignal, On: c, N: 1 << 40},
			{Seq: 10, Do: machine.DoTable, On: m, Table: &full},
			{Seq: 11, Do: machine.DoTable, On: m, Table: &table.Op{Verb: table.Range}},
			{Seq: 12, Do: machine.DoDelete, On: m},
		}},
		&machine.Call{Session: 6, Secret: machine.Secret{1, 2, 3, 15: 255}, Request: "r-5", Target: "r-0", Op: machine.Op{
			Do: machine.DoTable, On: m, Table: &table.Op{Verb: table.Store, Key: "k", Value: "v"},
		}},
		&machine.Read{On: m, Op: full},
		&machine.Read{On: m, Op: table.Op{Verb: table.Range}},
	}
}

// withConds is furnished, and has maps, waits on a cond, one that was signalled and one that
// was broadcast, and results with values in both kinds of sessions.
func withConds() *machine.Machine {
	m := furnished(2)
	entry := func(commands ...machine.Command) { m.Apply(m.Index()+1, ms, commands) }
	secret := machine.Secret{1, 2, 3, 15: 255}
	on := park.Object{Kind: park.KindCond, Name: "ready"}
	store := func(name, key, value, codec string) machine.Op {
		return machine.Op{Do: machine.DoTable, On: park.Object{Kind: park.KindMap, Name: name}, Table: &table.Op{
			Verb: table.Swap, Key: key, Value: value, Codec: codec,
		}}
	}
	wait := func(to park.Seq, limit int64) machine.Op {
		return machine.Op{Do: machine.DoAwait, To: to, Wait: machine.Wait{
			Commit: park.Any, Limit: limit, Note: "cond", Trace: "trace", Prio: -1, Arms: []park.Arm{{On: on, N: 1, Value: "c"}},
		}}
	}
	ops := []machine.Op{
		lockOp("c"), wait(7, 0), lockOp("c"), wait(9, 4_000*ms), lockOp("c"), wait(11, 0),
		lockOp("c"), {Do: machine.DoSignal, On: on, N: 1},
		store("jobs", "k", "v", "json"), store("jobs", "k", "w", ""), store("jobs", "", "w", ""), store("other", "k\x00", "\xff", ""),
		{Do: machine.DoTable, On: park.Object{Kind: park.KindMap, Name: "other"}, Table: &table.Op{Verb: table.Clear}},
	}
	for i := range ops {
		ops[i].Seq = park.Seq(7 + i)
	}
	entry(
		&machine.Frame{Session: 5, Epoch: 3, Ops: ops},
		&machine.Call{Session: 6, Secret: secret, Request: "swap", Op: store("jobs", "l", "v", "")},
		&machine.Call{Session: 6, Secret: secret, Request: "swap again", Op: store("jobs", "l", "w", "")},
	)
	return m
}

// A snapshot of the third format with conds and maps stays readable, and its hash the same.
func TestGoldenConds(t *testing.T) {
	old, _ := golden(t, "snapshot-3-conds", withConds())
	cond, jobs := old.Describe(park.Object{Kind: park.KindCond, Name: "ready"}), old.Describe(park.Object{Kind: park.KindMap, Name: "jobs"})
	lock := old.Describe(park.Object{Kind: park.KindLock, Name: "c"})
	if cond.Waiting != 2 || lock.Waiting != 1 || len(lock.Holders) != 1 || jobs.Held != 2 || jobs.Codec != "json" {
		t.Errorf("it has not what it is of: %+v, %+v, %+v", cond, lock, jobs)
	}
}

// A frozen machine is written as it was, though its maps and waiters go on.
func TestSnapshotOfConds(t *testing.T) {
	m := withConds()
	before, hash := written(t, m), m.Hash()
	s := m.Snapshot()
	m.Apply(m.Index()+1, 20_000*ms, nil) // all sessions end, and all Signals with them
	for _, c := range condSpecimens() {
		m.Apply(m.Index()+1, 0, []machine.Command{c})
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if s.Hash() != hash || !bytes.Equal(b.Bytes(), before) {
		t.Error("a snapshot has changed")
	}
}

// Every bit of a map's or a waiter's record counts in the state hash: a snapshot that is
// damaged and sealed anew is refused.
func TestDamagedConds(t *testing.T) {
	good := written(t, withConds())
	body := good[:len(good)-8]
	for i := range body {
		bad := bytes.Clone(body)
		bad[i] ^= 1 << (i % 8)
		if _, err := machine.Restore(bytes.NewReader(sealed(bad))); !errors.Is(err, machine.ErrSnapshot) {
			t.Errorf("a flipped bit at %d: error is %v", i, err)
		}
		if i%16 == 0 {
			if _, err := machine.Restore(bytes.NewReader(sealed(body[:i]))); !errors.Is(err, machine.ErrSnapshot) {
				t.Errorf("cut at %d: error is %v", i, err)
			}
		}
	}
}

// An op whose verb this version does not know decodes and is refused; one whose strings are
// cut does not.
func TestUnknownVerb(t *testing.T) {
	on := park.Object{Kind: park.KindMap, Name: "m"}
	for _, verb := range []table.Verb{0, table.Range + 1, 255} {
		c, err := machine.DecodeCommand(machine.AppendCommand(nil, &machine.Read{On: on, Op: table.Op{Verb: verb, Key: "k"}}))
		if err != nil {
			t.Fatal(err)
		}
		results, _ := machine.New().Apply(1, 0, []machine.Command{c})
		if r := results[0].(machine.ReadResult); r.Code != park.Invalid {
			t.Errorf("verb %d: %+v", verb, r)
		}
	}
	b := machine.AppendCommand(nil, &machine.Read{On: on, Op: table.Op{Verb: table.Load, Key: "key"}})
	if _, err := machine.DecodeCommand(b[:len(b)-1]); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
}

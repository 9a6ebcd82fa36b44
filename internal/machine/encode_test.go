package machine_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// specimens is every command and every op, with every field set.
func specimens() []machine.Command {
	return slices.Concat(firstSpecimens(), latchSpecimens(), chanSpecimens(), condSpecimens(), restoreSpecimens(), versionSpecimens(), refusedSpecimens())
}

func refusedSpecimens() []machine.Command {
	return []machine.Command{&machine.Frame{Session: 5, Epoch: 3, Ops: []machine.Op{{Seq: 6, Do: machine.DoRefuse, N: 250_000}}}}
}

func firstSpecimens() []machine.Command {
	x, s := park.Object{Kind: park.KindLock, Name: "x"}, park.Object{Kind: park.KindSemaphore, Name: "pool/ä"}
	e := park.Object{Kind: park.KindElection, Name: "cron"}
	secret := machine.Secret{1, 2, 3, 15: 255}
	return []machine.Command{
		&machine.Bootstrap{Cluster: "4f2c", Floor: 1 << 61},
		&machine.Renew{Sessions: []park.SessionID{1, 300, 1 << 63}},
		&machine.Renew{Sessions: []park.SessionID{}},
		&machine.Attach{Secret: secret, Instance: 7, Epoch: 1, TTL: 10_000 * ms, Who: "host-a pid 812"},
		&machine.Attach{
			Session: 5, Secret: secret, Instance: 1<<64 - 1, Epoch: 3,
			Wanted: []machine.Range{{First: 1, Last: 3}, {First: 5, Last: 1 << 40}},
		},
		&machine.Attach{
			Secret: secret, Instance: 7, Epoch: 4, TTL: -1, Replaces: 5, ReplacesSecret: machine.Secret{9},
		},
		&machine.Frame{Session: 5, Epoch: 3, Acked: []machine.Range{{First: 2, Last: 2}}, Ops: []machine.Op{
			{Seq: 6, Do: machine.DoWait, Wait: machine.Wait{Commit: park.Any, Arms: []park.Arm{{On: x, N: 1}}}},
			{Seq: 7, Do: machine.DoWait, Wait: machine.Wait{
				Commit: park.Every, Try: true, Prio: -1 << 31, Delay: 15_000 * ms, Limit: 1000 * ms, Note: "backup",
				Arms: []park.Arm{{On: x, Shared: true, N: 1}, {On: s, N: 3, Limit: 1 << 40}},
			}},
			{Seq: 8, Do: machine.DoEnd, To: 6},
			{Seq: 9, Do: machine.DoRelease, To: 7, N: -2},
			{Seq: 10, Do: machine.DoResize, On: s, N: 9},
			{Seq: 11, Do: machine.DoDescribe, On: x},
			{Seq: 12, Do: machine.DoNoop},
			{Seq: 13, Do: machine.DoLeave},
		}},
		&machine.Frame{Session: 5, Epoch: 3, Ops: []machine.Op{}},
		&machine.Revoke{Session: 5, Now: true},
		&machine.Sessions{},
		&machine.Open{Secret: secret, TTL: 500 * ms, Who: "host-b pid 9"},
		&machine.Call{Session: 6, Secret: secret, Request: "r-1", Target: "r-0", Op: machine.Op{
			Do: machine.DoWait, Wait: machine.Wait{
				Commit: park.Any, Limit: 1000 * ms, Trace: "trace and span",
				Arms: []park.Arm{{On: e, N: 1, Value: "host-b:80"}},
			},
		}},
		&machine.Call{Session: 6, Secret: secret, Request: "r-1", Op: machine.Op{Do: machine.DoEnd}},
		&machine.Describe{On: x},
		&machine.List{Kind: park.KindElection, Prefix: "cro", After: e, Max: 100},
		&machine.Frame{Session: 5, Epoch: 3, Ops: []machine.Op{
			{Seq: 6, Do: machine.DoProclaim, To: 3, Value: "host-a:81"},
			{Seq: 7, Do: machine.DoTransfer, To: 3, Heir: 6},
		}},
		&machine.Frame{Session: 5, Epoch: 3, Ops: []machine.Op{
			{Seq: 6, Do: machine.DoWait, Wait: machine.Wait{
				Commit: park.Any, Arms: []park.Arm{{On: x, N: 1}}, Trace: "trace",
				Lineage: &park.Lineage{Site: "main.go:20", Holds: []park.Named{
					{ID: park.ID{Session: 5, Seq: 3}, Site: "main.go:10"}, {ID: park.ID{Session: 1 << 63, Seq: 1}},
				}},
			}},
			{Seq: 7, Do: machine.DoWait, Wait: machine.Wait{
				Commit: park.Any, Arms: []park.Arm{{On: x, N: 1}}, Lineage: &park.Lineage{Site: "main.go:21"},
			}},
		}},
	}
}

// The encodings that nodes of all versions must read, one a line behind what it is.
// Lines may be added to the file and never changed: a log has them.
func TestGoldenCommands(t *testing.T) {
	const path = "testdata/golden/commands-1"
	if *update {
		var b strings.Builder
		for _, c := range specimens() {
			fmt.Fprintf(&b, "%T %x\n", c, machine.AppendCommand(nil, c))
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != len(specimens()) {
		t.Fatalf("%d golden encodings of %d commands", len(lines), len(specimens()))
	}
	for i, want := range specimens() {
		_, digits, _ := strings.Cut(lines[i], " ")
		golden, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		got, err := machine.DecodeCommand(golden)
		if err != nil {
			t.Errorf("%T: %v", want, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%T decodes otherwise:\n%s", want, diff)
		}
		if now := machine.AppendCommand(nil, want); !bytes.Equal(now, golden) {
			t.Errorf("%T encodes otherwise:\n%x\n%x", want, golden, now)
		}
	}
}

// Damage is found, or is another command: nothing panics, and nothing asks for memory
// that the bytes do not justify.
func TestDamagedCommands(t *testing.T) {
	for _, c := range specimens() {
		b := machine.AppendCommand(nil, c)
		for n := range len(b) {
			if _, err := machine.DecodeCommand(b[:n]); !errors.Is(err, wire.ErrCorrupt) {
				t.Errorf("%T cut to %d bytes: error is %v", c, n, err)
			}
		}
		if _, err := machine.DecodeCommand(append(b, 0)); !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("%T and a byte: error is %v", c, err)
		}
	}
	for _, tag := range []byte{0, 16, 255} {
		if _, err := machine.DecodeCommand([]byte{tag}); !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("command of type %d: error is %v", tag, err)
		}
	}
}

// A list that claims as many elements as the message has bytes, and whose first is
// damaged, costs no more memory than the message itself.
func TestHugeLists(t *testing.T) {
	const size = 1 << 20
	frame := wire.AppendUint(wire.AppendUint([]byte{4}, uint8(5)), uint8(1)) // session 5, epoch 1
	arms := wire.AppendUint(wire.AppendUint(wire.AppendUint(wire.AppendUint(frame, uint8(0)), uint8(1)), uint8(1)), uint8(1))
	for name, head := range map[string][]byte{
		"ranges": frame,
		"ops":    wire.AppendUint(frame, uint8(0)),
		"arms":   arms,
	} {
		b := wire.AppendUint(head[:len(head):len(head)], uint32(size))
		b = append(b, bytes.Repeat([]byte{0xff}, size)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := machine.DecodeCommand(b)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("%s: error is %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > size {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
	}
}

// Whatever decodes has one encoding, and does no harm to a machine with something in it.
func FuzzDecodeCommand(f *testing.F) {
	for _, c := range specimens() {
		f.Add(machine.AppendCommand(nil, c), int64(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, increment int64) {
		c, err := machine.DecodeCommand(b)
		if err != nil {
			if !errors.Is(err, wire.ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		if again := machine.AppendCommand(nil, c); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes and encodes as %x", b, again)
		}
		m := furnished(2)
		m.Apply(m.Index()+1, increment, []machine.Command{c})
		if err := m.Check(); err != nil {
			t.Fatalf("after %+v: %v", c, err)
		}
		restored(t, m)
	})
}

// furnished is populated, and has what came later: elections, and sessions without a
// stream whose requests wait, hold and have ended, so many more than a few.
func furnished(ended int) *machine.Machine {
	m := populated()
	entry := func(commands ...machine.Command) { m.Apply(m.Index()+1, ms, commands) }
	secret := machine.Secret{1, 2, 3, 15: 255}
	open := &machine.Open{Secret: secret, TTL: 10_000 * ms, Who: "caller"}
	entry(open, open)
	lead := lockOp("cron")
	lead.Wait.Arms[0] = park.Arm{On: park.Object{Kind: park.KindElection, Name: "cron"}, N: 1, Value: "host-a:80"}
	lead.Wait.Trace, lead.Wait.Note = "trace", "note"
	limited := lead
	limited.Wait.Limit, limited.Wait.Prio = 5_000*ms, 3
	call := func(s park.SessionID, id, target string, op machine.Op) machine.Command {
		return &machine.Call{Session: s, Secret: secret, Request: id, Target: target, Op: op}
	}
	entry(
		call(6, "r-0", "", lead),
		call(7, "r-0", "", lead), call(7, "r-1", "", limited), call(7, "r-2", "", lockOp("z")),
		call(6, "r-3", "r-0", machine.Op{Do: machine.DoProclaim, Value: "host-a:81"}),
		call(6, "early", "", endOp(0)), call(6, "r-4", "", permitsOp("none", 1, 0)),
		&machine.Frame{Session: 5, Epoch: 3, Ops: []machine.Op{{Seq: 6, Do: machine.DoWait, Wait: lead.Wait}}},
	)
	for n := range ended {
		entry(call(7, fmt.Sprint("n-", n), "", machine.Op{Do: machine.DoNoop}))
	}
	return m
}

// populated is a small machine with one of everything, on which the specimens have an
// effect: session 5 of epoch 3 has made five calls.
func populated() *machine.Machine {
	m := machine.New()
	entry := func(increment int64, commands ...machine.Command) { m.Apply(m.Index()+1, increment, commands) }
	secret := machine.Secret{1, 2, 3, 15: 255}
	attach := &machine.Attach{Secret: secret, Instance: 7, Epoch: 3, TTL: 10_000 * ms, Who: "somebody"}
	dying := &machine.Attach{Secret: secret, Instance: 7, Epoch: 3, TTL: 500 * ms}
	entry(0, &machine.Bootstrap{Cluster: "4f2c", Floor: 1000}, attach, attach, attach, dying, attach)
	both := lockOp("x")
	both.Wait.Arms = append(both.Wait.Arms, lockOp("y").Wait.Arms...)
	delayed := lockOp("delayed")
	delayed.Wait.Delay = 30_000 * ms
	limited := permitsOp("pool/ä", 2, 0)
	limited.Wait.Limit = 5_000 * ms
	all := both
	all.Wait.Commit = park.Every
	call := func(s park.SessionID, ops ...machine.Op) machine.Command {
		for i := range ops {
			ops[i].Seq = park.Seq(i + 1)
		}
		return &machine.Frame{Session: s, Epoch: 3, Ops: ops}
	}
	entry(ms,
		call(5, lockOp("x"), permitsOp("pool/ä", 3, 4), releaseOp(2, 1), lockOp("y"), lockOp("x")),
		call(4, delayed, permitsOp("pool/ä", 1, 0), releaseOp(2, 1)),
		call(1, both, limited, all),
		call(2, lockOp("x"), limited),
	)
	entry(600*ms, &machine.Revoke{Session: 2})
	return m
}

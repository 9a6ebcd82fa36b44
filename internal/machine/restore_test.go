package machine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/table"
)

const (
	takenAt = int64(1_790_000_000_000) // unix milliseconds
	nowAt   = takenAt + 60_000
)

// restoring is what brings a snapshot into a cluster, in pieces of n bytes.
func restoring(snapshot []byte, n int) []machine.Command {
	commands := []machine.Command{&machine.RestoreBegin{ID: "r"}}
	for i, p := range slices.Collect(slices.Chunk(snapshot, n)) {
		commands = append(commands, &machine.RestorePiece{ID: "r", N: uint64(i), Data: string(p)})
	}
	return append(commands, finishing(snapshot))
}

func finishing(snapshot []byte) *machine.RestoreFinish {
	return &machine.RestoreFinish{
		ID: "r", Size: int64(len(snapshot)), Sum: xxhash.Sum64(snapshot), Now: nowAt, Taken: takenAt,
	}
}

func outcome(t testing.TB, r any) machine.Restored {
	t.Helper()
	out, ok := r.(machine.Restored)
	if !ok {
		t.Fatalf("the result is %T", r)
	}
	return out
}

// bring applies a restore, each command in an entry of its own, and checks the machine and
// what a snapshot makes of it in between. It returns what the last says.
func bring(t testing.TB, r *rig, commands []machine.Command) machine.Restored {
	t.Helper()
	var last machine.Restored
	for _, c := range commands {
		decoded, err := machine.DecodeCommand(machine.AppendCommand(nil, c))
		if err != nil {
			t.Fatal(err)
		}
		results, _ := r.apply(ms, decoded)
		last = outcome(t, results[0])
		r.check()
		restored(t, r.machine)
		if last.Code != machine.RestoreDone {
			break
		}
	}
	return last
}

// rich are machines that have, between them, everything that a machine can have.
func rich(t testing.TB) map[string]*machine.Machine {
	all := map[string]*machine.Machine{
		"requests": furnished(2), "lineages": entangled(), "latches": latched(), "channels": channelled(), "conds": withConds(),
	}
	for seed := range uint64(20) {
		h := newHistory(t, rand.New(rand.NewPCG(seed, 7)).IntN, map[string]int{})
		h.plain = false
		h.run(120)
		all[fmt.Sprint("history ", seed)] = h.machine
	}
	return all
}

// objects is everything that is stored, as text, apart from numbers of the log.
func objects(m *machine.Machine) string {
	var b strings.Builder
	var after park.Object
	for {
		results, _ := m.Apply(m.Index()+1, 0, []machine.Command{&machine.List{After: after, Max: 1000}})
		l := results[0].(machine.ObjectList)
		for _, s := range l.Objects {
			d := *m.Describe(s.On)
			d.Index, d.Revision = 0, 0
			fmt.Fprintf(&b, "%+v\n", d)
			if s.On.Kind == park.KindMap {
				read := m.Read(&machine.Read{On: s.On, Op: table.Op{Verb: table.Range}})
				fmt.Fprintf(&b, "\t%+v\n", read.Result)
			}
			after = s.On
		}
		if !l.More {
			return b.String()
		}
	}
}

// What is left after a restore is what would be left if the clock had run until all leases and
// lock-delays were over; and two machines agree on it.
func TestRestoreEndsSessionsAsExpiryDoes(t *testing.T) {
	for name, m := range rich(t) {
		t.Run(name, func(t *testing.T) {
			backup := written(t, m)
			first, second := newRig(t), newRig(t)
			was := m.Counts()
			out := bring(t, first, restoring(backup, 100))
			bring(t, second, restoring(backup, 100))
			if out.Code != machine.RestoreDone || out.Sessions != was.Sessions || out.From != m.Cluster() {
				t.Fatalf("restored: %+v, what was saved had %+v", out, was)
			}
			if first.machine.Hash() != second.machine.Hash() {
				t.Error("two machines disagree")
			}
			if got := first.machine.Counts(); got != (machine.Counts{}) {
				t.Errorf("there are %+v", got)
			}
			for range 4 { // sessions, then their lock-delays, then what they wait for
				m.Apply(m.Index()+1, 49*3600_000*ms, nil)
			}
			if got := m.Counts(); got != (machine.Counts{}) {
				t.Fatalf("the original still has %+v", got)
			}
			if diff := cmp.Diff(objects(m), objects(first.machine)); diff != "" {
				t.Errorf("an expiry leaves -, a restore +:\n%s", diff)
			}
		})
	}
}

// Sessions open only once the longest lease of the backup, and the lock-delays behind it, must
// have run out; what is granted then has a token above all before.
func TestRestoreWaitsForOldLeases(t *testing.T) {
	old := newRig(t)
	old.open(1, 500*ms)
	s := old.open(1, 8_000*ms)
	delayed := lockOp("x")
	delayed.Wait.Delay = 3_000 * ms
	held := old.frame(s, delayed)[0]
	r := newRig(t)
	out := bring(t, r, restoring(written(t, old.machine), 100))
	if out.Code != machine.RestoreDone || out.Wait != 11_000*ms || out.Token != park.Token(nowAt)<<20 || out.Token <= held.Token {
		t.Fatalf("restored: %+v", out)
	}
	attach := &machine.Attach{Instance: 2, Epoch: 1, TTL: 500 * ms}
	open := &machine.Open{TTL: 500 * ms}
	again := &machine.Attach{Session: s, Instance: 1, Epoch: 2}
	results, events := r.apply(10_999*ms, attach, open, again)
	if e := events[0]; e.Refusal != machine.RefusedRestored || e.Wait != ms {
		t.Errorf("a stream opens: %+v", e)
	}
	if got := results[1].(machine.Opened); got.Refusal != machine.RefusedRestored || got.Wait != ms {
		t.Errorf("a session without a stream opens: %+v", got)
	}
	if e := events[1]; e.Refusal != machine.RefusedOver {
		t.Errorf("an old session is taken up: %+v", e)
	}
	results, events = r.apply(ms, attach, open)
	if events[0].Type != machine.EventAttached || results[1].(machine.Opened).Refusal != 0 {
		t.Fatalf("they do not open in time: %+v, %+v", events[0], results[1])
	}
	if opened := events[0].Session; opened < s+1<<32 {
		t.Errorf("session %v may have been another's, after the backup", opened)
	}
	if got := r.frame(events[0].Session, lockOp("x"))[0]; got.Code != park.Granted || got.Token != park.Token(nowAt)<<20+1 {
		t.Errorf("the lock is granted so: %+v", got)
	}
	r.check()
	if !bytes.HasPrefix(written(t, r.machine), []byte("coordd snapshot 3\n")) {
		t.Error("the restore is still in the state")
	}
}

// The wait of a backup that was taken within a wait, or a lock-delay, is what was left of it.
func TestRestoreOfWaits(t *testing.T) {
	old := newRig(t)
	s := old.open(1, 1_000*ms)
	delayed := lockOp("x")
	delayed.Wait.Delay = 60_000 * ms
	old.frame(s, delayed)
	old.apply(1_000 * ms) // its lock-delay begins
	old.apply(20_000 * ms)
	r := newRig(t)
	if out := bring(t, r, restoring(written(t, old.machine), 100)); out.Wait != 40_000*ms || out.Sessions != 0 {
		t.Fatalf("restored in a lock-delay: %+v", out)
	}
	r.apply(15_000 * ms)
	again := newRig(t)
	if out := bring(t, again, restoring(written(t, r.machine), 100)); out.Wait != 25_000*ms {
		t.Fatalf("restored in a wait: %+v", out)
	}
	empty := newRig(t)
	if out := bring(t, empty, restoring(written(t, newRig(t).machine), 100)); out.Code != machine.RestoreDone || out.Wait != 0 {
		t.Fatalf("nothing restored: %+v", out)
	}
	empty.open(1, 500*ms)
}

// Numbers go on above those of both.
func TestRestoreNumbers(t *testing.T) {
	m := furnished(2)
	r := newRig(t)
	r.apply(0, &machine.Bootstrap{Cluster: "c", Floor: machine.MaxFloor})
	s := r.open(1, 500*ms)
	r.frame(s, machine.Op{Do: machine.DoLeave})
	out := bring(t, r, restoring(written(t, m), 1<<16))
	if out.Code != machine.RestoreDone || out.Token != machine.MaxFloor {
		t.Errorf("restored: %+v, want the cluster's own floor kept", out)
	}
	if out.Revision <= m.Revision()+1<<31 || r.machine.Revision() != out.Revision || r.machine.Cluster() != "c" {
		t.Errorf("changes go on at %d, says %d, of %q", r.machine.Revision(), out.Revision, r.machine.Cluster())
	}
}

// A restore is refused, with nothing changed but that it is over.
func TestRestoreRefused(t *testing.T) {
	backup := written(t, furnished(2))
	all := restoring(backup, 100)
	with := func(change func(*machine.RestoreFinish)) []machine.Command {
		f := finishing(backup)
		change(f)
		return append(slices.Clone(all[:len(all)-1]), f)
	}
	damaged := bytes.Clone(backup)
	damaged[len(damaged)/2] ^= 1
	for name, test := range map[string]struct {
		commands []machine.Command
		want     machine.RestoreCode
	}{
		"no name":         {[]machine.Command{&machine.RestoreBegin{}}, machine.RestoreInvalid},
		"long name":       {[]machine.Command{&machine.RestoreBegin{ID: strings.Repeat("r", 129)}}, machine.RestoreInvalid},
		"not begun":       {all[1:], machine.RestoreSuperseded},
		"finish alone":    {all[len(all)-1:], machine.RestoreSuperseded},
		"another":         {[]machine.Command{all[0], &machine.RestoreBegin{ID: "s"}, all[1]}, machine.RestoreSuperseded},
		"aborted":         {[]machine.Command{all[0], &machine.RestoreAbort{ID: "r"}, all[1]}, machine.RestoreSuperseded},
		"abort another":   {[]machine.Command{all[0], &machine.RestoreAbort{ID: "s"}}, machine.RestoreSuperseded},
		"a gap":           {append(slices.Clone(all[:2]), all[3:]...), machine.RestoreIncomplete},
		"no end":          {append(slices.Clone(all[:2]), all[len(all)-1]), machine.RestoreIncomplete},
		"empty piece":     {[]machine.Command{all[0], &machine.RestorePiece{ID: "r"}}, machine.RestoreInvalid},
		"long piece":      {[]machine.Command{all[0], &machine.RestorePiece{ID: "r", Data: strings.Repeat("x", machine.MaxPiece+1)}}, machine.RestoreInvalid},
		"other sum":       {with(func(f *machine.RestoreFinish) { f.Sum++ }), machine.RestoreIncomplete},
		"no time":         {with(func(f *machine.RestoreFinish) { f.Now, f.Taken = 0, 0 }), machine.RestoreInvalid},
		"the year 3000":   {with(func(f *machine.RestoreFinish) { f.Now = 1 << 45 }), machine.RestoreInvalid},
		"clock behind":    {with(func(f *machine.RestoreFinish) { f.Now = takenAt - 1 }), machine.RestoreEarly},
		"damaged":         {restoring(damaged, 100), machine.RestoreDamaged},
		"more behind it":  {restoring(append(bytes.Clone(backup), 0), 100), machine.RestoreDamaged},
		"of no cluster":   {restoring(written(t, machine.New()), 100), machine.RestoreDamaged},
		"no snapshot":     {restoring([]byte("hello"), 100), machine.RestoreDamaged},
		"nothing at all":  {restoring(nil, 100), machine.RestoreDamaged},
		"the same clock":  {with(func(f *machine.RestoreFinish) { f.Now = takenAt }), machine.RestoreDone},
		"a piece twice":   {slices.Insert(slices.Clone(all), 2, all[1]), machine.RestoreDone},
		"begun once more": {append([]machine.Command{all[0], all[1]}, all...), machine.RestoreDone},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			before := objects(r.machine)
			out := bring(t, r, test.commands)
			if out.Code != test.want {
				t.Fatalf("the last says %+v, want %d", out, test.want)
			}
			if out.Code == machine.RestoreDone {
				return
			}
			if out.Replaced || objects(r.machine) != before {
				t.Errorf("something is restored: %+v", out)
			}
			if _, finish := test.commands[len(test.commands)-1].(*machine.RestoreFinish); finish && test.want != machine.RestoreSuperseded {
				if out := bring(t, r, all[1:2]); out.Code != machine.RestoreSuperseded && test.want != machine.RestoreIncomplete {
					t.Errorf("what failed goes on: %+v", out)
				}
			}
			r.open(1, 500*ms)
		})
	}
}

// Nothing is restored over what somebody has.
func TestRestoreIntoUse(t *testing.T) {
	all := restoring(written(t, furnished(2)), 100)
	unready := &rig{tb: t, machine: machine.New(), last: map[park.SessionID]park.Seq{}}
	if out := bring(t, unready, all); out.Code != machine.RestoreUnready {
		t.Errorf("before the cluster has begun: %+v", out)
	}
	r := newRig(t)
	s := r.open(1, 10_000*ms)
	if out := bring(t, r, all); out.Code != machine.RestoreInUse || out.Sessions != 1 || out.On.Kind != 0 {
		t.Errorf("with a session: %+v", out)
	}
	r.frame(s, permitsOp("pool", 1, 3))
	if out := bring(t, r, all); out.Code != machine.RestoreInUse || out.On.Name != "pool" {
		t.Errorf("with a semaphore that is held: %+v", out)
	}
	r.frame(s, machine.Op{Do: machine.DoLeave})
	if out := bring(t, r, all); out.Code != machine.RestoreInUse || out.On.Name != "pool" || out.Sessions != 0 {
		t.Errorf("with a semaphore: %+v", out)
	}
}

// A session that opens uses the cluster: what was staged is gone, and does not come back.
func TestRestoreUnderWay(t *testing.T) {
	all := restoring(written(t, furnished(2)), 100)
	for name, open := range map[string]machine.Command{
		"stream": &machine.Attach{Instance: 2, Epoch: 1, TTL: 500 * ms}, "unary": &machine.Open{TTL: 500 * ms},
	} {
		r := newRig(t)
		bring(t, r, all[:3])
		r.apply(0, open)
		r.check()
		if !bytes.HasPrefix(written(t, r.machine), []byte("coordd snapshot 3\n")) {
			t.Errorf("%s: it is still staged", name)
		}
		if out := bring(t, r, all[3:]); out.Code != machine.RestoreSuperseded {
			t.Errorf("%s: it goes on: %+v", name, out)
		}
	}
}

// staged is a machine in the midst of a restore, and within a wait.
func staged() *machine.Machine {
	m := machine.New()
	entry := func(commands ...machine.Command) { m.Apply(m.Index()+1, ms, commands) }
	entry(&machine.Bootstrap{Cluster: "c"}, &machine.Attach{Instance: 1, Epoch: 1, TTL: 10_000 * ms})
	var b bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&b); err != nil {
		panic(err)
	}
	m = machine.New()
	entry(&machine.Bootstrap{Cluster: "d"})
	entry(restoring(b.Bytes(), 50)...)
	entry(&machine.RestoreBegin{ID: "s"}, &machine.RestorePiece{ID: "s", Data: "first"}, &machine.RestorePiece{ID: "s", N: 1, Data: "second"})
	return m
}

// What there is of a restore is in a snapshot, whose damage is found.
func TestGoldenStaged(t *testing.T) {
	_, text := golden(t, "snapshot-4-staged", staged())
	testDamage(t, text)
}

// The log's encodings.
func restoreSpecimens() []machine.Command {
	return []machine.Command{
		&machine.RestoreBegin{ID: "r-1"},
		&machine.RestorePiece{ID: "r-1", N: 300, Data: "some\x00bytes"},
		&machine.RestoreFinish{ID: "r-1", Size: 310, Sum: 1<<64 - 1, Now: nowAt, Taken: takenAt},
		&machine.RestoreAbort{ID: "r-1"},
	}
}

package machine_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// keeping is a wait of a session that names what some of its calls hold.
func keeping(op machine.Op, s park.SessionID, holds ...park.Seq) machine.Op {
	l := &park.Lineage{Site: "main.go:20"}
	for _, seq := range holds {
		l.Holds = append(l.Holds, park.Named{ID: park.ID{Session: s, Seq: seq}, Site: "main.go:10"})
	}
	op.Wait.Lineage = l
	return op
}

// A long cycle of long texts is found, and what is told of it stays below a message.
func TestLongCycle(t *testing.T) {
	const n = 200
	r := newRig(t)
	_, events := r.apply(0, &machine.Attach{Instance: 1, Epoch: 1, TTL: minute, Who: strings.Repeat("w", machine.MaxWho)})
	s := events[0].Session
	long := func(i int) string { return fmt.Sprintf("%0256d", i) }
	for i := range n {
		all := machine.Op{Do: machine.DoWait, Wait: machine.Wait{Commit: park.Every}}
		for j := range 20 { // the one that is waited for is the last
			all.Wait.Arms = append(all.Wait.Arms, lockOp(long((20-j)*10*n + i)).Wait.Arms[0])
		}
		for j := range 10 {
			all.Wait.Arms[j], all.Wait.Arms[19-j] = all.Wait.Arms[19-j], all.Wait.Arms[j]
		}
		if r.code(s, all) != park.Granted {
			t.Fatal("the objects are not free")
		}
	}
	for i := range n {
		op := keeping(lockOp(long(200*n+(i+1)%n)), s, park.Seq(i+1))
		op.Wait.Note = strings.Repeat("n", machine.MaxNote)
		op.Wait.Lineage.Site = strings.Repeat("a", park.MaxSite)
		op.Wait.Lineage.Holds[0].Site = strings.Repeat("b", park.MaxSite)
		events = r.frame(s, op)
		if len(events) > 0 && i < n-1 {
			t.Fatalf("wait %d ends: %+v", i, events)
		}
	}
	cycle := events[0].Cycle
	if events[0].Code != park.Deadlock || len(cycle) != 32 || cycleLength(cycle) != n || cycle[30].Skipped != n-32 {
		t.Fatalf("code %d, a cycle of %d, %d told", events[0].Code, cycleLength(cycle), len(cycle))
	}
	if cycle[0].ID.Seq != 2*n || cycle[1].ID.Seq != n+1 || cycle[31].ID.Seq != 2*n-1 {
		t.Errorf("it goes from %v to %v, at last %v", cycle[0].ID, cycle[1].ID, cycle[31].ID)
	}
	size := 0
	for i, c := range cycle {
		before := cycle[(i+31)%32]
		if len(c.Holds) != 8 || c.Holds[0].On != before.Wants.On && i != 31 || c.Holds[0].Site == "" {
			t.Errorf("wait %d of the cycle: %d objects are told, first %v", i, len(c.Holds), c.Holds[0])
		}
		size += len(c.Who) + len(c.Note) + len(c.Wants.On.Name) + len(c.Wants.Site)
		for _, h := range c.Holds {
			size += len(h.On.Name) + len(h.Site)
		}
	}
	if size > 1<<19 {
		t.Errorf("%d bytes are told", size)
	}
	r.check()
}

// A wait at the end of a long queue is searched. It is told the shortest way.
func TestLongQueue(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	r.frame(s, lockOp("x"), lockOp("y"))
	for range 1_000 {
		r.frame(s+1, lockOp("x"))
	}
	r.frame(s, keeping(lockOp("z"), s, 1, 2))      // granted
	r.frame(s+1, keeping(lockOp("y"), s+1, 1_500)) // that never was
	events := r.frame(s, keeping(lockOp("x"), s, 2))
	if len(events) != 0 {
		t.Fatalf("a wait that is in nobody's way: %+v", events)
	}
	if events = r.frame(s, keeping(lockOp("x"), s, 1)); len(events) != 1 || len(events[0].Cycle) != 1 {
		t.Fatalf("a wait behind a thousand for what it holds itself: %+v", events)
	}
	if n := r.machine.Unsearched(); n != 0 {
		t.Errorf("%d were not searched", n)
	}
}

// What is too much to look at in both directions parks and is counted; the count is no part
// of the state.
func TestUnsearched(t *testing.T) {
	r := newRig(t)
	s := r.open(3, minute)
	read := lockOp("x")
	read.Wait.Arms[0].Shared = true
	for range 4_200 {
		r.frame(s, read)
	}
	r.frame(s+1, lockOp("y"), permitsOp("s", 1, 2))
	for range 4_200 {
		r.frame(s+2, lockOp("y"))
	}
	if events := r.frame(s+1, keeping(lockOp("x"), s+1, 1)); len(events) != 0 {
		t.Fatalf("it ends: %+v", events)
	}
	if n := r.machine.Unsearched(); n != 1 {
		t.Errorf("%d were not searched, should be 1", n)
	}
	for range 2_200 {
		r.frame(s+2, permitsOp("s", 1, 2))
	}
	r.frame(s+1, machine.Op{Do: machine.DoResize, On: park.Object{Kind: park.KindSemaphore, Name: "s"}, N: 1})
	if n := r.machine.Unsearched(); n != 2 {
		t.Errorf("%d were not searched, should be 2", n)
	}
	r.check()
	if again := restored(t, r.machine); again.Unsearched() != 0 {
		t.Error("a restored machine knows what another one did not search")
	}
}

// At MaxNamed nobody parks who names anything, and everybody else does.
func TestMaxNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the lot")
	}
	r := newRig(t)
	s := r.open(2, minute)
	op := keeping(lockOp("x"), s)
	op.Wait.Lineage.Site = ""
	for n := range park.MaxLineage {
		r.frame(s, lockOp(fmt.Sprint("own ", n)))
		op.Wait.Lineage.Holds = append(op.Wait.Lineage.Holds, park.Named{ID: park.ID{Session: s, Seq: park.Seq(n + 1)}})
	}
	r.frame(s+1, lockOp("x"))
	for range machine.MaxNamed / park.MaxLineage {
		if events := r.frame(s, op); len(events) != 0 {
			t.Fatalf("a wait is refused: %+v", events)
		}
	}
	if events := r.frame(s, op); len(events) != 1 || events[0].Code != park.Limit || events[0].Value != machine.MaxNamed {
		t.Fatalf("one more: %+v", events)
	}
	op.Wait.Try = true
	if code := r.code(s, op); code != park.Busy {
		t.Errorf("a try: code %d", code)
	}
	if events := r.frame(s, lockOp("x")); len(events) != 0 {
		t.Errorf("a wait without a lineage: %+v", events)
	}
	r.frame(s, endOp(park.MaxLineage+1))
	if events := r.frame(s, keeping(lockOp("x"), s, 1)); len(events) != 0 {
		t.Errorf("after another left: %+v", events)
	}
}

// Holds do not keep the lineage of their waits.
func TestHoldsKeepNoLineage(t *testing.T) {
	size := func(named bool) int {
		r := newRig(t)
		s := r.open(2, minute)
		r.frame(s, lockOp("x"), lockOp("y"))
		for _, name := range []string{"x", "z"} { // one has to wait for, one not
			op := lockOp(name)
			if named {
				op = keeping(op, s, 2)
			}
			r.frame(s+1, op)
		}
		r.frame(s, endOp(1))
		return len(written(t, r.machine))
	}
	if with, without := size(true), size(false); with != without {
		t.Errorf("the snapshot has %d bytes, without lineages %d", with, without)
	}
}

// entangled is a machine where waits name holds.
func entangled() *machine.Machine {
	m := populated()
	both := keeping(lockOp("x"), 5, 1, 4)
	both.Wait.Arms[0].On.Name = "delayed"
	both.Seq, both.Wait.Trace = 6, "trace"
	site := keeping(lockOp("delayed"), 5)
	site.Seq, site.Wait.Note = 7, "note"
	m.Apply(m.Index()+1, ms, []machine.Command{&machine.Frame{Session: 5, Epoch: 3, Ops: []machine.Op{both, site}}})
	return m
}

// A snapshot with lineages stays readable, and damage is found.
func TestGoldenLineages(t *testing.T) {
	m := entangled()
	if m.Counts().Waiters != populated().Counts().Waiters+2 {
		t.Fatal("they do not wait")
	}
	_, text := golden(t, "snapshot-3-lineages", m)
	body := text[:len(text)-8]
	for i := range body {
		for bit := range 8 {
			bad := bytes.Clone(body)
			bad[i] ^= 1 << bit
			if _, err := machine.Restore(bytes.NewReader(sealed(bad))); err == nil {
				t.Errorf("bit %d of byte %d is flipped and it is restored", bit, i)
			}
		}
	}
}

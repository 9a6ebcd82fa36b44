package machine_test

import (
	"fmt"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// A rig is a machine that tests and benchmarks fill without a model beside it.
type rig struct {
	tb      testing.TB
	machine *machine.Machine
	index   uint64
	last    map[park.SessionID]park.Seq
}

func newRig(tb testing.TB) *rig {
	r := &rig{tb: tb, machine: machine.New(), last: map[park.SessionID]park.Seq{}}
	r.apply(0, &machine.Bootstrap{Cluster: "c"})
	return r
}

func (r *rig) apply(increment int64, commands ...machine.Command) ([]any, []machine.Event) {
	r.index++
	return r.machine.Apply(r.index, increment, commands)
}

// open opens n sessions, whose ids rise from the one returned.
func (r *rig) open(n int, ttl int64) park.SessionID {
	r.tb.Helper()
	commands := make([]machine.Command, n)
	for i := range commands {
		commands[i] = &machine.Attach{Instance: 1, Epoch: 1, TTL: ttl, Who: "host-a pid 812 (billing)"}
	}
	_, events := r.apply(0, commands...)
	if events[0].Type != machine.EventAttached {
		r.tb.Fatalf("open: %+v", events[0])
	}
	return events[0].Session
}

// frame applies ops of one session, numbering those that have no seq yet, and returns
// the answers.
func (r *rig) frame(s park.SessionID, ops ...machine.Op) []machine.Event {
	for i := range ops {
		if ops[i].Seq == 0 {
			r.last[s]++
			ops[i].Seq = r.last[s]
		}
	}
	_, events := r.apply(0, &machine.Frame{Session: s, Epoch: 1, Ops: ops})
	return events
}

// code is of the last answer.
func (r *rig) code(s park.SessionID, op machine.Op) park.Code {
	events := r.frame(s, op)
	return events[len(events)-1].Code
}

func (r *rig) check() {
	r.tb.Helper()
	if err := r.machine.Check(); err != nil {
		r.tb.Fatal(err)
	}
}

func lockOp(name string) machine.Op {
	return machine.Op{Do: machine.DoWait, Wait: machine.Wait{
		Commit: park.Any, Arms: []park.Arm{{On: park.Object{Kind: park.KindLock, Name: name}, N: 1}},
	}}
}

func permitsOp(name string, n, limit int64) machine.Op {
	return machine.Op{Do: machine.DoWait, Wait: machine.Wait{
		Commit: park.Any,
		Arms:   []park.Arm{{On: park.Object{Kind: park.KindSemaphore, Name: name}, N: n, Limit: limit}},
	}}
}

func releaseOp(to park.Seq, n int64) machine.Op {
	return machine.Op{Do: machine.DoRelease, To: to, N: n}
}

func endOp(to park.Seq) machine.Op { return machine.Op{Do: machine.DoEnd, To: to} }

const minute = 60_000 * ms

// At MaxSessions nobody opens another, but who replaces its own may: that is one less
// first.
func TestMaxSessions(t *testing.T) {
	r := newRig(t)
	first := r.open(machine.MaxSessions, minute)
	_, events := r.apply(0,
		&machine.Attach{Instance: 1, Epoch: 1, TTL: minute},
		&machine.Attach{Instance: 1, Epoch: 2, TTL: minute, Replaces: first},
		&machine.Attach{Instance: 1, Epoch: 3, TTL: minute, Replaces: first},
	)
	var got []machine.EventType
	for _, e := range events {
		got = append(got, e.Type)
	}
	want := []machine.EventType{
		machine.EventRefused, machine.EventEnded, machine.EventAttached, machine.EventRefused,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("events are %v, should be %v", got, want)
	}
	if events[0].Refusal != machine.RefusedLimit || events[3].Refusal != machine.RefusedLimit {
		t.Errorf("refused with %d and %d", events[0].Refusal, events[3].Refusal)
	}
	if n := r.machine.Counts().Sessions; n != machine.MaxSessions {
		t.Errorf("%d sessions", n)
	}
}

// At MaxOpen calls a session gets nothing more, but may always give back (H1). The seq
// of what is refused is spent.
func TestMaxOpen(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	for n := range session.MaxOpen - 1 {
		r.frame(s, lockOp(fmt.Sprint(n)))
	}
	if c := r.code(s, permitsOp("s", 3, 3)); c != park.Granted {
		t.Fatalf("call %d: code %d", session.MaxOpen, c)
	}
	permits := r.last[s]
	for name, op := range map[string]machine.Op{
		"lock":   lockOp("more"),
		"resize": {Do: machine.DoResize, On: park.Object{Kind: park.KindSemaphore, Name: "s"}, N: 4},
	} {
		if c := r.code(s, op); c != park.Full {
			t.Errorf("%s at MaxOpen: code %d, should be full", name, c)
		}
	}
	if c := r.code(s, releaseOp(permits, 1)); c != park.Done {
		t.Errorf("release at MaxOpen: code %d", c)
	}
	if c := r.code(s, machine.Op{Do: machine.DoNoop}); c != park.Done {
		t.Errorf("noop at MaxOpen: code %d", c)
	}
	r.check()
	for _, to := range []park.Seq{1, 2} {
		if c := r.code(s, endOp(to)); c != park.Done {
			t.Errorf("end at MaxOpen: code %d", c)
		}
	}
	if c := r.code(s, lockOp("more")); c != park.Granted {
		t.Errorf("lock below MaxOpen: code %d", c)
	}
	r.check()
}

// Releases that are never acknowledged are kept up to twice MaxOpen.
func TestMaxKept(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	r.frame(s, permitsOp("s", 1<<30, 1<<30))
	for n := range 2*session.MaxOpen - 1 {
		if c := r.code(s, releaseOp(1, 1)); c != park.Done {
			t.Fatalf("release %d: code %d", n, c)
		}
	}
	if c := r.code(s, releaseOp(1, 1)); c != park.Full {
		t.Errorf("release beyond: code %d, should be full", c)
	}
	if c := r.code(s, endOp(1)); c != park.Done {
		t.Errorf("end: code %d", c)
	}
	r.check()
	r.apply(0, &machine.Frame{Session: s, Epoch: 1, Acked: []machine.Range{{First: 1, Last: 1 << 62}}})
	if c := r.code(s, permitsOp("s", 1, 0)); c != park.Granted {
		t.Errorf("acquire after all is acknowledged: code %d", c)
	}
	r.check()
}

// At MaxWaiters of one object the next is refused; to try is not to wait.
func TestMaxWaiters(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	r.frame(s, lockOp("x"))
	for n := range machine.MaxWaiters {
		r.frame(s+park.SessionID(n%2), lockOp("x"))
	}
	if c := r.code(s, lockOp("x")); c != park.Limit {
		t.Errorf("code %d, should be limit", c)
	}
	try := lockOp("x")
	try.Wait.Try = true
	if c := r.code(s, try); c != park.Busy {
		t.Errorf("try: code %d, should be busy", c)
	}
	if c := r.code(s, lockOp("y")); c != park.Granted {
		t.Errorf("another: code %d", c)
	}
	r.check()
}

// At MaxParked arms nobody waits any more, for objects that nobody holds neither.
func TestMaxParked(t *testing.T) {
	if testing.Short() {
		t.Skip("parks a million arms")
	}
	r := newRig(t)
	s := r.open(1, minute)
	r.frame(s, lockOp("x0000"))
	all := lockOp("x0000")
	for i := 1; i < machine.MaxArms; i++ {
		all.Wait.Arms = append(all.Wait.Arms, lockOp(fmt.Sprintf("x%04d", i)).Wait.Arms...)
	}
	all.Wait.Commit = park.Every
	for range machine.MaxParked/machine.MaxArms + 1 {
		r.frame(s, all)
	}
	if c := r.code(s, lockOp("x0000")); c != park.Limit {
		t.Errorf("code %d, should be limit", c)
	}
	if c := r.code(s, endOp(2)); c != park.Done {
		t.Errorf("end: code %d", c)
	}
	if n := len(r.frame(s, lockOp("x0000"))); n != 0 {
		t.Errorf("%d answers; it should wait", n)
	}
}

// The arms and the strings of one wait.
func TestWaitLimits(t *testing.T) {
	r := newRig(t)
	s := r.open(1, minute)
	many := func(n int) machine.Op {
		op := lockOp("x0000")
		for i := 1; i < n; i++ {
			op.Wait.Arms = append(op.Wait.Arms, lockOp(fmt.Sprintf("x%04d", i)).Wait.Arms[0])
		}
		op.Wait.Commit = park.Every
		return op
	}
	note := lockOp("n")
	note.Wait.Note = string(make([]byte, machine.MaxNote+1))
	none := lockOp("n")
	none.Wait.Commit = 0
	armless := lockOp("n")
	armless.Wait.Arms = nil
	permits := lockOp("n")
	permits.Wait.Arms[0].N = 2
	shared := permitsOp("s", 1, 1)
	shared.Wait.Arms[0].Shared = true
	kind := lockOp("n")
	kind.Wait.Arms[0].On.Kind = 99
	for name, c := range map[string]struct {
		op   machine.Op
		want park.Code
	}{
		"as many arms as can be": {many(machine.MaxArms), park.Granted},
		"too many arms":          {many(machine.MaxArms + 1), park.Invalid},
		"no arms":                {armless, park.Invalid},
		"no commit":              {none, park.Invalid},
		"long note":              {note, park.Invalid},
		"two permits of a lock":  {permits, park.Invalid},
		"shared permits":         {shared, park.Invalid},
		"unknown kind":           {kind, park.Invalid},
		"unknown op":             {machine.Op{Do: 99}, park.Invalid},
		"no name":                {lockOp(""), park.Invalid},
	} {
		if got := r.code(s, c.op); got != c.want {
			t.Errorf("%s: code %d, should be %d", name, got, c.want)
		}
	}
	r.check()
}

// The clock and the counters do not overflow, whatever an entry says. At its end the
// clock stands still.
func TestHostileNumbers(t *testing.T) {
	const most = 1<<63 - 1
	r := newRig(t)
	s := r.open(2, machine.MaxTTL)
	w := lockOp("x")
	w.Wait.Delay, w.Wait.Limit, w.Wait.Prio = machine.MaxDelay, machine.MaxLimit, -1<<31
	r.frame(s, w, permitsOp("s", most, 0), permitsOp("s", -most-1, -most-1), releaseOp(1, most), releaseOp(most, 1))
	r.frame(s+1, w, permitsOp("s", 1<<40, 1<<40), permitsOp("s", 1<<40, 1<<40))
	r.apply(0, &machine.Frame{Session: s, Epoch: 1, Acked: []machine.Range{{First: 5, Last: 1}, {First: 0, Last: most}}})
	r.apply(0, &machine.Attach{Session: s, Instance: 1, Epoch: most, Wanted: []machine.Range{{First: 1, Last: most}}})
	r.apply(0, &machine.Attach{Session: s, Instance: 1, Epoch: 1<<64 - 1})
	r.apply(-most-1, &machine.Renew{Sessions: []park.SessionID{0, s, s, 1<<64 - 1}})
	r.check()
	for range 4 {
		r.apply(most, &machine.Renew{Sessions: []park.SessionID{s}})
		r.check()
	}
	if n := r.machine.Counts(); n.Sessions != 1 || n.Holds != 1 || n.Waiters != 0 {
		t.Errorf("only the renewed session and a lock-delay, which does not run out, should be left: %+v", n)
	}
	if restored(t, r.machine).Clock() != r.machine.Clock() {
		t.Error("the clock does not survive a snapshot")
	}
}

// Of three arms that are free each is taken about as often (D3).
func TestSelectIsFair(t *testing.T) {
	const rounds = 3000
	r := newRig(t)
	s := r.open(1, minute)
	op := lockOp("a")
	op.Wait.Arms = append(op.Wait.Arms, lockOp("b").Wait.Arms[0], lockOp("c").Wait.Arms[0])
	var taken [3]int
	for range rounds {
		taken[r.frame(s, op)[0].Arm]++
		r.frame(s, endOp(r.last[s]))
	}
	for arm, n := range taken {
		if n < rounds/3-150 || n > rounds/3+150 { // six standard deviations
			t.Errorf("arm %d was taken %d times of %d: %v", arm, n, rounds, taken)
		}
	}
}

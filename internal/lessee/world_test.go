package lessee

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAnyHistory runs a lessee against the fake server under lost streams, late, doubled
// and dropped messages, delayed renewals, stalls, revocations and clocks of different
// rates, and compares what its user is told with what happened. A state worth reaching
// that no history reached is a failure too: the test would no longer test it.
func TestAnyHistory(t *testing.T) {
	seen := map[string]int{}
	missing := func() (states []string) {
		for _, state := range []string{
			"asked anew in its session", "asked anew in the next session",
			"await asked anew, having kept its hold", "await given up, its hold gone",
			"await of a lost hold", "await refused", "awaited", "end raced a grant",
			"ended while it is given", "frame of an old stream",
			"give refused", "given", "given and recalled", "given in a lost session",
			"granted in a revoked session",
			"hold answered again", "hold lost before it was let go", "late open",
			"let go, awaited in the next session", "lost, reason 1", "lost, reason 2", "lost, reason 3",
			"never sent, ended", "noop", "over by a give, before that is heard", "recalled",
			"replaced too late", "replay on one stream", "result kept over a loss",
			"revoked unheard", "unknown",
		} {
			if seen[state] == 0 {
				states = append(states, state)
			}
		}
		return states
	}
	// Some states are rare: ten rounds, and as many more as it takes to reach them all.
	for round := 0; round < 10 || len(missing()) > 0 && round < 500; round++ {
		rapid.Check(t, func(t *rapid.T) { anyHistory(t, seen) })
	}
	if states := missing(); len(states) > 0 {
		t.Errorf("never reached: %q", states)
	}
	t.Log(seen)
}

// FuzzLessee is TestAnyHistory, guided by coverage.
func FuzzLessee(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { anyHistory(t, map[string]int{}) }))
}

func anyHistory(t *rapid.T, seen map[string]int) {
	w := newWorld(t, seen)
	acts := []string{
		"start", "start", "start", "starton", "await", "end", "end", "end",
		"shell", "shell", "shell", "up", "up", "up", "down", "down", "down", "time", "time",
		"flow", "flow", "connect", "cut", "double", "stall", "outage", "gate", "revoke", "unlock", "forge",
	}
	for range rapid.IntRange(0, 300).Draw(t, "steps") {
		w.act(rapid.SampledFrom(acts).Draw(t, "act"))
		w.check()
	}
	w.heal()
}

// A world is one lessee, its user, the network and the server.
type world struct {
	t      *rapid.T
	l      *Lessee
	f      *fake
	users  []*user
	byCall map[Call]*user

	real           time.Duration
	rate, fakeRate int64 // of the clocks, in thousandths
	behind         time.Duration
	connected      bool
	epoch          uint64
	epochs         map[uint64]uint64 // session of an epoch, as its Attach or Attached says
	ups            []up
	downs          []downOf
	secrets        byte

	seen map[string]int // states worth reaching
}

func newWorld(t *rapid.T, seen map[string]int) *world {
	w := &world{
		t: t, seen: seen, byCall: map[Call]*user{}, epochs: map[uint64]uint64{},
		rate:     rapid.Int64Range(950, 1050).Draw(t, "rate"),
		fakeRate: rapid.Int64Range(950, 1050).Draw(t, "server's rate"),
	}
	const ttl = 10 * time.Second
	w.l = New(Config{TTL: ttl})
	w.f = &fake{t: t, ttl: ttl, seen: seen, tell: func(epoch uint64, d down) {
		w.downs = append(w.downs, downOf{epoch, d})
	}}
	return w
}

// now is the client's clock.
func (w *world) now() time.Duration { return w.real * time.Duration(w.rate) / 1000 }

func (w *world) pass(d time.Duration) {
	w.real += d
	w.f.advance(w.real*time.Duration(w.fakeRate)/1000 - w.behind - w.f.clock)
}

func (w *world) act(act string) {
	switch act {
	case "start":
		w.start()
	case "starton":
		w.startOn()
	case "await":
		w.startAwait()
	case "end":
		w.end()
	case "shell":
		w.shell(rapid.IntRange(1, 4).Draw(w.t, "max"))
	case "up":
		w.up()
	case "down":
		w.down()
	case "connect":
		w.connect()
	case "cut":
		w.cut()
	case "double":
		w.double()
	case "flow":
		w.calm()
	default:
		w.nature(act)
	}
}

// nature is what happens outside of client and network.
func (w *world) nature(act string) {
	ms := func(max int) time.Duration {
		return time.Duration(rapid.IntRange(1, max).Draw(w.t, "ms")) * time.Millisecond
	}
	switch act {
	case "time":
		if rapid.IntRange(0, 9).Draw(w.t, "long") == 0 {
			w.pass(ms(90_000))
		} else {
			w.pass(ms(900))
		}
	case "stall": // of the server: its clock does not count it
		d := ms(5_000)
		w.behind += d * time.Duration(w.fakeRate) / 1000
		w.pass(d)
	case "outage": // of the network, while the client goes on
		for range rapid.IntRange(1, 45).Draw(w.t, "turns") {
			w.pass(250 * time.Millisecond)
			w.shell(1)
			w.check()
		}
	case "gate":
		for _, u := range w.users {
			u.body.open = u.body.open || u.body.gated() && rapid.Bool().Draw(w.t, "open")
		}
		w.f.grant()
	case "revoke":
		if n := len(w.f.sessions); n > 0 && !w.f.sessions[n-1].over && w.rarely() {
			w.f.revoke(w.f.sessions[n-1], rapid.Bool().Draw(w.t, "now"))
		}
	case "unlock":
		for _, c := range w.f.calls {
			if c.is == isHeld && rapid.Bool().Draw(w.t, "this one") {
				if w.userOf(c.body).is == waiting {
					w.seen["revoked unheard"]++
				}
				w.f.unlock(c, rapid.Bool().Draw(w.t, "now"))
				break
			}
		}
	case "forge": // what no server would send harms nothing
		w.forge()
	}
}

func (w *world) rarely() bool { return rapid.IntRange(0, 3).Draw(w.t, "really") == 0 }

func (w *world) forge() {
	seq := rapid.Uint64Range(0, 200).Draw(w.t, "seq")
	epoch := w.epoch + rapid.Uint64Range(1, 3).Draw(w.t, "ahead")
	w.l.Receive(w.now(), epoch, []Answer{{Seq: seq, Verdict: Granted}, {Seq: seq, Verdict: Over}})
	w.l.Attached(w.now(), epoch, Attached{Session: 99, Last: seq})
	w.l.Disconnect(epoch)
	w.l.Over(w.now(), 1_000, ReasonEnded)
	w.l.Renewed(w.now(), Lease{Session: 1_000}, RenewalOver)
	w.l.End(Call(1_000))
}

// shell is what the client's goroutines do when they are awake.
func (w *world) shell(max int) {
	renew := w.l.Renew
	if rapid.IntRange(0, 3).Draw(w.t, "along") == 0 {
		renew = w.l.RenewAlong
	}
	if lease, ok := renew(w.now()); ok {
		w.ups = append(w.ups, up{lease: &lease})
	}
	w.l.Advance(w.now())
	if !w.connected {
		w.connect()
	}
	if f, ok := w.l.Frame(max); ok {
		if len(f.Ops) > max {
			w.t.Fatalf("a frame of %d ops, %d asked for", len(f.Ops), max)
		}
		w.ups = append(w.ups, up{epoch: f.Epoch, frame: &f})
	}
}

// outcome holds a verdict against what the call was told before, and what it did.
func (w *world) outcome(o Outcome) {
	u := w.byCall[o.Call]
	if u == nil {
		w.t.Fatalf("outcome of call %d, which nobody started", o.Call)
	}
	if b, _ := o.Body.(*body); b != nil && !u.body.is(b) {
		w.t.Fatalf("call %d is told what another got", o.Call)
	}
	if o.Verdict == Lost && u.hasHold() && o.Reason == ReasonEnded && w.l.live() {
		w.t.Fatalf("call %d is told that its hold is over, in a session that goes on", u.call)
	}
	w.see(u, o)
	if u.body.kind == bodyAwait {
		w.seeAwait(u, o)
	}
	if err := u.hear(o, w.l.leave != nil); err != nil {
		w.t.Fatalf("call %d, %+v, of %+v, ended %v: %v: %v", u.call, u, u.on, u.ended, o, err)
	}
	if o.Verdict == Refused {
		w.endAwaited(u)
	}
}

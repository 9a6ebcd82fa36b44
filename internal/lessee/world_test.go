package lessee

import (
	"errors"
	"fmt"
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

// An up is a message on its way to the server.
type up struct {
	epoch  uint64 // 0 of a renewal: those overtake each other
	attach *Attach
	frame  *Frame
	lease  *Lease
}

type downOf struct {
	epoch uint64
	down
}

// A user is who started a call, and what it was told.
type user struct {
	call  Call
	class Class
	body  *body
	on    *user
	gives []*user // of this hold, and awaits
	is    userState
	ended bool
	told  Verdict // the final outcome
}

type userState uint8

const (
	waiting userState = iota
	holding
	recalling // holding, and asked for it back
	bereft    // told Lost
	done
)

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

func (w *world) start() {
	u := &user{body: &body{
		kind: bodyKind(rapid.IntRange(int(bodyLock), int(bodyGated)).Draw(w.t, "kind")),
		lock: rapid.IntRange(0, 2).Draw(w.t, "lock"),
	}}
	switch u.body.kind {
	case bodyLock, bodyTry:
		u.class = ClassWait
	case bodyRead:
		u.class = ClassRead
	default:
		u.class = ClassChange
	}
	u.call = w.l.Start(u.class, u.body)
	w.add(u)
}

// anyHold is a call that holds, if there is one, and sometimes any other.
func (w *world) anyHold() *user {
	if len(w.users) == 0 {
		return nil
	}
	on := w.users[rapid.IntRange(0, len(w.users)-1).Draw(w.t, "on")]
	for _, u := range w.users {
		if u.is == holding && rapid.IntRange(0, 7).Draw(w.t, "any") != 0 {
			return u
		}
	}
	return on
}

func (w *world) startOn() {
	on := w.anyHold()
	if on == nil {
		return
	}
	u := &user{class: ClassChange, body: &body{kind: bodyOn}, on: on}
	if rapid.Bool().Draw(w.t, "give") {
		u.body.kind, u.body.open = bodyGive, rapid.Bool().Draw(w.t, "open")
		on.gives = append(on.gives, u)
		u.call = w.l.StartGive(on.call, u.body)
	} else {
		u.call = w.l.StartOn(on.call, u.body)
	}
	w.add(u)
}

// given reports whether the hold was given away; with open set, only by a give whose
// outcome has not come yet.
func (u *user) given(open bool) bool {
	for _, g := range u.gives {
		if g.body.effects > 0 && (g.is != done || !open) {
			return true
		}
	}
	return false
}

func (w *world) add(u *user) {
	w.users = append(w.users, u)
	w.byCall[u.call] = u
}

func (w *world) end() {
	if len(w.users) == 0 {
		return
	}
	u := w.users[len(w.users)-1-rapid.IntRange(0, min(len(w.users)-1, 8)).Draw(w.t, "which")]
	u.ended = true
	for _, c := range w.f.calls {
		if u.body.is(c.body) && c.is == isHeld && u.is == waiting {
			w.seen["end raced a grant"]++
		}
	}
	for _, g := range u.gives {
		if g.is == waiting && u.is == holding && g.body.kind == bodyGive {
			w.seen["ended while it is given"]++
		}
	}
	w.l.End(u.call)
	w.endAwaited(u)
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

func (w *world) connect() {
	w.secrets++
	a, ok := w.l.Connect(w.now(), Secret{w.secrets})
	if !ok {
		return
	}
	if a.Epoch <= w.epoch {
		w.t.Fatalf("epoch %d follows %d", a.Epoch, w.epoch)
	}
	w.epoch, w.connected = a.Epoch, true
	w.epochs[a.Epoch] = a.Session
	w.ups = append(w.ups, up{epoch: a.Epoch, attach: &a})
}

// cut loses the stream, with what is on it or, as it may be, without: that comes late.
func (w *world) cut() {
	if !w.connected {
		return
	}
	w.connected = false
	w.l.Disconnect(w.epoch)
	if n := len(w.ups); n > 0 && rapid.Bool().Draw(w.t, "lost") {
		// A stream loses its tail, never its middle.
		keep := rapid.IntRange(0, n).Draw(w.t, "arrives")
		left := w.ups[:keep:keep]
		for _, u := range w.ups[keep:] {
			if u.epoch != w.epoch {
				left = append(left, u)
			}
		}
		w.ups = left
	}
	if rapid.Bool().Draw(w.t, "answers lost") {
		w.downs = nil
	}
}

// double has a message of the network arrive twice.
func (w *world) double() {
	if len(w.ups) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.ups)-1).Draw(w.t, "which")
	w.ups = append(w.ups[:i+1], w.ups[i:]...)
}

// up delivers the first message of some stream, or any renewal.
func (w *world) up() {
	if len(w.ups) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.ups)-1).Draw(w.t, "which")
	for j := 0; j < i; j++ {
		if w.ups[j].epoch == w.ups[i].epoch {
			i = j // before it on its stream
			break
		}
	}
	w.deliver(i)
}

func (w *world) deliver(i int) {
	u := w.ups[i]
	w.ups = append(w.ups[:i:i], w.ups[i+1:]...)
	switch {
	case u.attach != nil:
		w.f.attach(*u.attach)
	case u.frame != nil:
		// The server knows a stream by its Attach; one that was never answered has none.
		if s := w.epochs[u.epoch]; s != 0 {
			w.f.frame(s, *u.frame)
		}
	case u.lease != nil:
		w.f.renew(*u.lease)
	}
}

// down hears the first message of the present stream, or of an old one, or any renewal.
func (w *world) down() {
	if len(w.downs) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.downs)-1).Draw(w.t, "which")
	for j := 0; j < i; j++ {
		if w.downs[j].epoch == w.downs[i].epoch && w.downs[i].epoch != 0 {
			i = j
			break
		}
	}
	w.hear(i)
}

func (w *world) hear(i int) {
	d := w.downs[i]
	w.downs = append(w.downs[:i:i], w.downs[i+1:]...)
	switch {
	case d.attached != nil:
		// An opening Attach that came twice opened two: its stream is the first's.
		if w.epochs[d.epoch] == 0 {
			w.epochs[d.epoch] = d.attached.Session
		}
		opening := w.l.stream.state == streamOpening && w.l.stream.epoch == d.epoch
		w.l.Attached(w.now(), d.epoch, *d.attached)
		if id, _ := w.l.Session(); opening && id == 0 {
			w.seen["late open"]++
		}
	case d.answers != nil:
		w.l.Receive(w.now(), d.epoch, d.answers)
	case d.over != nil:
		w.l.Over(w.now(), d.over.session, d.over.reason)
		if d.epoch == w.epoch {
			w.connected = false
			w.l.Disconnect(w.epoch)
		}
	case d.renewed != nil:
		if d.renewed.r == Renewed && d.renewed.lease.Start < w.l.session.credited {
			w.seen["renewed out of order"]++
		}
		w.l.Renewed(w.now(), d.renewed.lease, d.renewed.r)
	}
}

// check is what holds after every step.
func (w *world) check() {
	for _, o := range w.l.Outcomes() {
		w.outcome(o)
	}
	if err := w.l.check(); err != nil {
		w.t.Fatal(err)
	}
	id, deadline := w.l.Session()
	if id == 0 || w.now() >= deadline {
		return
	}
	s := w.f.session(id)
	if s.over && s.byUs && w.l.leave == nil {
		w.t.Fatalf("session %d is over at %v, its client believes in it until %v", id, w.now(), deadline)
	}
	for _, u := range w.users {
		if u.is == holding && !u.ended && !s.over && !w.holds(s, u.body) && !u.given(true) && !u.mayBeLetGo() {
			w.t.Fatalf("call %d is believed held, and is not", u.call)
		}
	}
}

// holds reports whether the server has the hold, or an operator took it.
func (w *world) holds(s *fakeSession, b *body) bool {
	for _, c := range w.f.calls {
		if c.s == s && b.is(c.body) && (c.is == isHeld || c.is == isKept && c.kept == Lost) {
			return true
		}
	}
	return false
}

func (w *world) userOf(b *body) *user {
	for _, u := range w.users {
		if u.body.is(b) {
			return u
		}
	}
	return nil
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

func (w *world) see(u *user, o Outcome) {
	switch {
	case o.Verdict == Granted && w.l.session.revoked:
		w.seen["granted in a revoked session"]++
	case o.Verdict == Recalled:
		w.seen["recalled"]++
	case o.Verdict == Lost && u.ended:
		w.seen["end raced a revocation"]++
	case o.Verdict == Lost && !u.hasHold():
		w.seen["lost on"]++
	case o.Verdict == Lost:
		w.seen[fmt.Sprintf("lost, reason %d", o.Reason)]++
	case o.Verdict == Unknown:
		w.seen["unknown"]++
	case o.Verdict == Ended && u.body.askedIn == nil:
		w.seen["never sent, ended"]++
	case u.mayBeLetGo(): // its await's
	case o.Verdict == Ended && !u.ended && u.is == recalling:
		w.seen["given and recalled"]++
	case o.Verdict == Ended && !u.ended && u.is == holding:
		w.seen["given"]++
	case o.Verdict == Done && u.body.kind == bodyGive && u.on.is == bereft:
		w.seen["given in a lost session"]++
	case o.Verdict == Refused && u.body.kind == bodyGive && u.on.is == holding:
		w.seen["give refused"]++
	}
}

func (u *user) hear(o Outcome, left bool) error {
	ok := false
	switch o.Verdict {
	case Granted:
		ok = u.is == waiting && !u.ended && u.class == ClassWait && u.mayBeGranted(o)
		u.is = holding
		return unless(ok, "nobody waited")
	case Recalled:
		ok = u.is == holding && !u.ended
		u.is = recalling
		return unless(ok, "nobody held")
	case Lost:
		if u.hasHold() {
			ok = (u.is == holding || u.is == recalling) && (!u.ended || o.Reason == ReasonRevoked) && o.Reason != 0
			u.is = bereft
			return unless(ok, "nobody held")
		}
		ok = u.body.effects == 0 && (u.on.is != holding || u.on.ended || u.on.mayBeLetGo()) && (u.body.kind != bodyAwait || u.neverAwaited())
	case Done:
		ok = u.class == ClassChange && u.body.effects == 1 || u.class == ClassRead && !u.ended
		if u.body.kind == bodyGive {
			ok = ok && (u.on.is == done || u.on.is == bereft || u.on.ended || u.on.mayBeLetGo()) // it was told first
		}
	case Refused:
		ok = u.body.effects == 0 && (u.class == ClassChange || !u.ended)
	case Ended:
		ok = (u.ended || left || u.given(true) || u.mayBeLetGo()) && u.body.effects == 0
	case Unknown:
		ok = u.class == ClassChange
	default:
	}
	ok = ok && u.is != done
	u.is, u.told = done, o.Verdict
	return unless(ok, "it cannot be")
}

func unless(ok bool, what string) error {
	if ok {
		return nil
	}
	return errors.New(what)
}

// heal ends all faults and sees that everybody gets an answer, that nothing is left held
// or waiting, and that nothing is remembered.
func (w *world) heal() {
	for _, u := range w.users {
		u.body.open = true
	}
	w.f.grant()
	for range 600 {
		w.pass(100 * time.Millisecond)
		w.calm()
		for _, u := range w.users {
			if (u.is == holding || u.is == recalling || u.is == bereft) && !u.awaited() {
				u.ended = true
				w.l.End(u.call)
			}
		}
	}
	w.calm()
	for _, u := range w.users {
		if u.is != done {
			w.t.Fatalf("call %d of class %d has state %d for ever", u.call, u.class, u.is)
		}
		if effects := u.body.effects; u.told == Done && u.class == ClassChange && effects != 1 ||
			u.told != Done && u.told != Unknown && effects != 0 {
			w.t.Fatalf("call %d was told %d and took effect %d times", u.call, u.told, effects)
		}
	}
	if n := len(w.l.calls) + len(w.l.session.ops) + w.l.queue.n + w.l.redo.n + w.l.parked.n + len(w.l.limbo); n != 0 {
		w.t.Fatalf("%d things are remembered for ever", n)
	}
	for _, c := range w.f.calls {
		if c.is == isParked || c.is == isHeld {
			w.t.Fatalf("seq %d of session %d is left on the server", c.seq, c.s.id)
		}
	}
	w.leave()
}

func (w *world) leave() {
	u := &user{class: 0, body: &body{}, ended: true}
	u.call = w.l.Leave()
	w.add(u)
	for range 4 {
		w.calm()
	}
	if u.is != done {
		w.t.Fatal("Leave is never over")
	}
	if id, _ := w.l.Session(); id != 0 {
		w.t.Fatal("a session outlives Leave")
	}
}

// calm is a turn without faults: the shell does what is to be done, all is delivered.
func (w *world) calm() {
	w.shell(1000)
	for len(w.ups) > 0 {
		w.deliver(0)
		w.check()
	}
	for len(w.downs) > 0 {
		w.hear(0)
		w.check()
	}
	w.shell(1000)
	w.check()
}

// check verifies what doc.go says of the lessee's own state.
func (l *Lessee) check() error {
	holds, onList := 0, map[*call]bool{}
	for _, q := range []*list{&l.queue, &l.redo, &l.parked} {
		n := 0
		for c := q.first; c != nil; c = c.next {
			if n++; c.in != q || onList[c] || l.calls[c.id] != c {
				return fmt.Errorf("call %d is dead or on two lists", c.id)
			}
			onList[c] = true
		}
		if n != q.n {
			return fmt.Errorf("a list of %d says that it has %d", n, q.n)
		}
	}
	want := map[uint64]*call{}
	for _, c := range l.calls {
		if c.phase == sent || c.phase == held {
			want[c.seq] = c
			if c.endSeq != 0 {
				want[c.endSeq] = c
			}
		}
		if c.phase == held {
			holds++
		}
		if c.phase == queued && !onList[c] {
			return fmt.Errorf("call %d is queued nowhere", c.id)
		}
	}
	if len(want) != len(l.session.ops) || holds != l.session.held {
		return fmt.Errorf("%d ops, should be %d; %d held, counted %d", len(l.session.ops), len(want), holds, l.session.held)
	}
	for seq, c := range want {
		if l.session.ops[seq] != c || seq > l.session.lastSeq {
			return fmt.Errorf("op %d is not call %d's", seq, c.id)
		}
	}
	if l.live() && len(l.limbo) > 0 {
		return errors.New("a live session and changes in limbo")
	}
	return nil
}

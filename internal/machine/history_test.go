package machine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

const ms = int64(1e6)

// A history drives the machine and the model with the same random entries.
type history struct {
	tb      testing.TB
	intn    func(n int) int
	machine *machine.Machine
	model   *model
	index   uint64
	clients []*fakeClient
	seen    map[string]int // interesting states, for coverage

	old     *machine.Snapshot // kept alive, and re-hashed later
	oldHash uint64
	oldAge  int
}

// A fakeClient knows just enough of a session to send plausible frames.
type fakeClient struct {
	id       park.SessionID
	secret   machine.Secret
	instance uint64
	epoch    uint64
	last     park.Seq
	ttl      int64
}

func newHistory(tb testing.TB, intn func(int) int, seen map[string]int) *history {
	return &history{tb: tb, intn: intn, machine: machine.New(), model: newModel(seen), seen: seen}
}

func (h *history) run(entries int) {
	h.apply(0, &machine.Bootstrap{Cluster: "c", Floor: park.Token(h.intn(1000))})
	for range entries {
		h.step()
	}
}

func (h *history) step() {
	increment := int64(h.intn(200)) * ms
	switch h.intn(12) {
	case 0:
		increment = int64(h.intn(3000)) * ms
	case 1:
		if h.intn(4) == 0 {
			increment = int64(h.intn(70_000)) * ms
		}
	}
	var commands []machine.Command
	for range 1 + h.intn(3) {
		if c := h.command(); c != nil {
			commands = append(commands, c)
		}
	}
	h.apply(increment, commands...)
}

func (h *history) command() machine.Command {
	if len(h.clients) == 0 {
		return h.open()
	}
	c := h.clients[h.intn(len(h.clients))]
	switch n := h.intn(100); {
	case n < 25:
		r := &machine.Renew{}
		for _, c := range h.clients {
			if h.intn(4) > 0 {
				r.Sessions = append(r.Sessions, c.id)
			}
		}
		return r
	case n < 30:
		return h.open()
	case n < 36:
		return h.takeUp(c)
	case n < 38:
		return &machine.Revoke{Session: c.id, Now: h.intn(2) == 0}
	case n < 40:
		return &machine.Sessions{}
	default:
		return h.frame(c)
	}
}

func (h *history) open() machine.Command {
	c := &fakeClient{instance: uint64(1 + h.intn(2)), epoch: 1, ttl: (500 + int64(h.intn(3000))) * ms}
	c.secret[0] = byte(h.intn(200))
	a := &machine.Attach{Secret: c.secret, Instance: c.instance, Epoch: c.epoch, TTL: c.ttl, Who: fmt.Sprint("host-", h.intn(9))}
	if old := h.someone(); old != nil && old.id != 0 && h.intn(2) == 0 {
		a.Replaces, a.ReplacesSecret, a.Instance = old.id, old.secret, old.instance
		c.instance, c.epoch = old.instance, old.epoch+1
		a.Epoch = c.epoch
		a.Wanted = h.ranges(old.last)
		if h.intn(8) == 0 {
			a.ReplacesSecret[0]++
		}
	}
	h.clients = append(h.clients, c)
	if len(h.clients) > 6 {
		h.clients = h.clients[1:]
	}
	return a
}

func (h *history) someone() *fakeClient {
	if len(h.clients) == 0 {
		return nil
	}
	return h.clients[h.intn(len(h.clients))]
}

func (h *history) takeUp(c *fakeClient) machine.Command {
	if c.id == 0 {
		return nil // its Attach was refused, or is in this entry
	}
	a := &machine.Attach{
		Session: c.id, Secret: c.secret, Instance: c.instance, Epoch: c.epoch + 1,
		Wanted: h.ranges(c.last + 2),
	}
	switch h.intn(8) {
	case 0:
		a.Secret[0]++
	case 1:
		a.Epoch = c.epoch
	case 2:
		a.Instance++
	default:
		c.epoch++
	}
	return a
}

// ranges are random ones within 1..last.
func (h *history) ranges(last park.Seq) (out []machine.Range) {
	for seq := park.Seq(1); seq <= last; seq += park.Seq(1 + h.intn(3)) {
		r := machine.Range{First: seq, Last: seq + park.Seq(h.intn(6))}
		out = append(out, r)
		seq = r.Last + 1
	}
	return out
}

func (h *history) frame(c *fakeClient) machine.Command {
	f := &machine.Frame{Session: c.id, Epoch: c.epoch}
	if h.intn(20) == 0 && c.epoch > 0 {
		f.Epoch--
		h.seen["old epoch"]++
	}
	if h.intn(6) == 0 {
		f.Acked = h.ranges(c.last)
	}
	for range 1 + h.intn(4) {
		seq := c.last + 1
		switch h.intn(30) {
		case 0:
			seq = 1 + park.Seq(h.intn(int(c.last)+1))
		case 1:
			seq = c.last + 2
		}
		f.Ops = append(f.Ops, h.op(seq, c))
		if seq == c.last+1 && f.Epoch == c.epoch {
			c.last++
		}
	}
	return f
}

func (h *history) op(seq park.Seq, c *fakeClient) machine.Op {
	op := machine.Op{Seq: seq}
	recent := func() park.Seq {
		return seq - min(seq, park.Seq(h.intn(8)))
	}
	switch n := h.intn(40); {
	case n < 22:
		op.Do = machine.DoWait
		op.Wait = h.wait()
	case n < 33:
		op.Do, op.To = machine.DoEnd, recent()
	case n < 35:
		op.Do, op.To, op.N = machine.DoRelease, recent(), int64(h.intn(3))
	case n < 37:
		op.Do, op.On, op.N = machine.DoResize, h.object(park.KindSemaphore), int64(1+h.intn(4))
	case n < 38:
		op.Do, op.On = machine.DoDescribe, h.object(park.Kind(1+h.intn(2)))
	case n < 39:
		op.Do = machine.DoNoop
	default:
		op.Do = machine.DoNoop
		if h.intn(4) == 0 {
			op.Do = machine.DoLeave
		}
	}
	return op
}

func (h *history) object(kind park.Kind) park.Object {
	return park.Object{Kind: kind, Name: string(rune('a' + h.intn(3)))}
}

func (h *history) wait() machine.Wait {
	w := machine.Wait{Commit: park.Any, Try: h.intn(6) == 0}
	arms := 1
	if h.intn(4) == 0 {
		arms = 1 + h.intn(4)
		w.Commit = park.Commit(1 + h.intn(3))
	}
	for range arms {
		a := park.Arm{On: h.object(park.KindLock), N: 1}
		if h.intn(3) == 0 {
			a = park.Arm{On: h.object(park.KindSemaphore), N: int64(1 + h.intn(3)), Limit: 3}
			if h.intn(10) == 0 {
				a.Limit = int64(h.intn(4))
			}
		} else {
			a.Shared = h.intn(3) == 0
		}
		if h.intn(60) == 0 {
			a.On.Name = ""
		}
		w.Arms = append(w.Arms, a)
	}
	if w.Commit == park.Every && h.intn(10) > 0 {
		slices.SortFunc(w.Arms, func(a, b park.Arm) int { return a.On.Compare(b.On) })
		w.Arms = slices.CompactFunc(w.Arms, func(a, b park.Arm) bool { return a.On == b.On })
	}
	if h.intn(4) == 0 {
		w.Note = fmt.Sprint("note ", h.intn(9))
	}
	if h.intn(8) == 0 {
		w.Prio = int32(h.intn(5)) - 2
	}
	if h.intn(6) == 0 {
		w.Limit = int64(h.intn(3000)) * ms
	}
	if h.intn(6) == 0 {
		w.Delay = int64(h.intn(5000)) * ms
		if h.intn(4) == 0 {
			w.Delay = int64(h.intn(90_000)) * ms
		}
	}
	return w
}

// apply gives an entry to both, through the encoding, and compares all that comes out.
func (h *history) apply(increment int64, commands ...machine.Command) {
	h.tb.Helper()
	h.index++
	for i, c := range commands {
		b := machine.AppendCommand(nil, c)
		got, err := machine.DecodeCommand(b)
		if err != nil {
			h.tb.Fatalf("decode what was encoded: %v", err)
		}
		if again := machine.AppendCommand(nil, got); !bytes.Equal(b, again) {
			h.tb.Fatalf("command %+v changes on its way through the log", c)
		}
		commands[i] = got
	}
	before := h.machine.Clock()
	results, events := h.machine.Apply(h.index, increment, commands)
	if h.machine.Clock() != before+park.Clock(increment) {
		h.tb.Fatalf("entry %d: the clock was %d, is %d after %d", h.index, before, h.machine.Clock(), increment)
	}
	h.model.choice = func(id park.ID) int {
		for _, e := range events {
			if e.Type == machine.EventOutcome && e.Session == id.Session && e.Seq == id.Seq && e.Code == park.Granted {
				return e.Arm
			}
		}
		return -1
	}
	h.model.events = nil
	h.model.apply(h.index, increment, commands)
	h.compare(results, commands, events)
	if err := h.machine.Check(); err != nil {
		h.tb.Fatalf("entry %d: %v", h.index, err)
	}
	h.learn(events)
	h.snapshot()
}

func (h *history) compare(results []any, commands []machine.Command, events []machine.Event) {
	h.tb.Helper()
	var got, rest []string
	for i, r := range results {
		if _, ok := commands[i].(*machine.Renew); ok {
			got = append(got, printedResult(commands[i], r)...) // renewals are applied first
		} else {
			rest = append(rest, printedResult(commands[i], r)...)
		}
	}
	got = append(got, rest...)
	var want []string
	for _, s := range h.model.events {
		if isResult(s) {
			want = append(want, s)
		}
	}
	if !slices.Equal(got, want) {
		h.tb.Fatalf("entry %d:\n%s\nresults\n%s\nshould be\n%s", h.index, dump(commands), lines(got), lines(want))
	}
	got, want = nil, slices.DeleteFunc(h.model.events, isResult)
	for _, e := range events {
		got = append(got, printed(e))
	}
	if !slices.Equal(got, want) {
		h.tb.Fatalf("entry %d:\n%s\nevents\n%s\nshould be\n%s", h.index, dump(commands), lines(got), lines(want))
	}
}

// isResult tells what the model says of the result of a command from its events.
func isResult(s string) bool {
	word, _, _ := strings.Cut(s, " ")
	return slices.Contains([]string{"renew", "revoke", "sessions"}, word)
}

func printedResult(c machine.Command, r any) (out []string) {
	switch c := c.(type) {
	case *machine.Renew:
		for i, a := range r.([]machine.Renewal) {
			out = append(out, fmt.Sprintf("renew %v %s", c.Sessions[i], [...]string{"", "ok", "over", "revoked"}[a]))
		}
	case *machine.Revoke:
		out = append(out, fmt.Sprintf("revoke %v %s", c.Session, map[park.Code]string{
			park.Done: "done", park.NotFound: "not found",
		}[r.(park.Code)]))
	case *machine.Sessions:
		out = append(out, fmt.Sprintf("sessions %+v", r))
	}
	return out
}

func lines(s []string) string {
	var b bytes.Buffer
	for _, l := range s {
		fmt.Fprintln(&b, "  ", l)
	}
	return b.String()
}

func dump(commands []machine.Command) string {
	var b bytes.Buffer
	for _, c := range commands {
		fmt.Fprintf(&b, "  %T %+v\n", c, c)
	}
	return b.String()
}

func printed(e machine.Event) string {
	switch e.Type {
	case machine.EventAttached:
		left := []string{}
		for _, o := range e.Replaced {
			left = append(left, fmt.Sprintf("%d:%d:%d", o.Seq, o.Code, o.Value))
		}
		return fmt.Sprintf("attached %v to %d/%d last %d replaced %d gone %v %v",
			e.Session, e.Instance, e.Epoch, e.Last, e.ReplacedLast, e.ReplacedGone, left)
	case machine.EventRefused:
		return fmt.Sprintf("refused %d/%d: %d", e.Instance, e.Epoch, e.Refusal)
	case machine.EventCut:
		return fmt.Sprintf("cut %v epoch %d: %d", e.Session, e.Epoch, e.Refusal)
	case machine.EventEnded:
		return fmt.Sprintf("ended %v revoked %v", e.Session, e.Refusal == machine.RefusedRevoked)
	}
	if e.Code == park.Granted {
		return fmt.Sprintf("granted %v/%d token %d arm %d", e.Session, e.Seq, e.Token, e.Arm)
	}
	if e.Description != nil {
		d := *e.Description
		d.Revision = 0
		return fmt.Sprintf("outcome %v/%d code %d arm %d: %+v", e.Session, e.Seq, e.Code, e.Arm, d)
	}
	return fmt.Sprintf("outcome %v/%d code %d value %d", e.Session, e.Seq, e.Code, e.Value)
}

// learn lets the fake clients know their sessions and counts what was reached.
func (h *history) learn(events []machine.Event) {
	ended := 0
	for _, e := range events {
		switch e.Type {
		case machine.EventAttached:
			if e.ReplacedLast > 0 {
				h.seen["replaced"]++
			}
			for _, c := range h.clients {
				if c.id == 0 && c.instance == e.Instance && c.epoch == e.Epoch {
					c.id = e.Session
					break
				}
			}
			h.seen["attached"]++
		case machine.EventEnded:
			ended++
			if h.intn(8) > 0 { // the others go on as if they did not know
				h.clients = slices.DeleteFunc(h.clients, func(c *fakeClient) bool { return c.id == e.Session })
			}
		case machine.EventRefused, machine.EventCut:
			h.seen[fmt.Sprintf("refusal %d", e.Refusal)]++
			h.resync(e.Session)
		case machine.EventOutcome:
			h.seen[fmt.Sprintf("code %d", e.Code)]++
			if e.Arm > 0 {
				h.seen["later arm"]++
			}
		}
	}
	if ended > 1 {
		h.seen["two sessions ended in one entry"]++
	}
	for _, c := range h.model.calls {
		if c.free != 0 && c.s.over {
			h.seen["lock-delay"]++
		}
		if c.state == parked && len(c.arms) > 1 && c.commit == park.Every {
			h.seen["parked LockAll"]++
		}
	}
	for _, l := range h.model.limits {
		if l.limit != l.stored {
			h.seen["resized"]++
		}
	}
}

// resync tells a client whose stream was cut where its session stands.
func (h *history) resync(id park.SessionID) {
	s := h.model.session(id)
	for _, c := range h.clients {
		if s != nil && c.id == id && c.instance == s.instance {
			c.last, c.epoch = s.last, s.epoch
		}
	}
}

// snapshot restores at random and goes on with the copy; and keeps one snapshot alive
// while the machine goes on, to see that it does not change.
func (h *history) snapshot() {
	if h.old != nil {
		if h.oldAge++; h.oldAge == 10 {
			m := h.restore(h.old)
			if h.old.Hash() != h.oldHash || m.Hash() != h.oldHash {
				h.tb.Fatalf("entry %d: a snapshot of 10 entries ago has changed", h.index)
			}
			h.old = nil
		}
	} else if h.intn(10) == 0 {
		h.old, h.oldHash, h.oldAge = h.machine.Snapshot(), h.machine.Hash(), 0
	}
	if h.intn(20) == 0 {
		m := h.restore(h.machine.Snapshot())
		if m.Hash() != h.machine.Hash() {
			h.tb.Fatalf("entry %d: the restored machine has another hash", h.index)
		}
		h.machine = m
		h.seen["restored"]++
	}
}

func (h *history) restore(s *machine.Snapshot) *machine.Machine {
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		h.tb.Fatalf("write: %v", err)
	}
	m, err := machine.Restore(&b)
	if err != nil {
		h.tb.Fatalf("entry %d: %v", h.index, err)
	}
	if err := m.Check(); err != nil {
		h.tb.Fatalf("entry %d: restored: %v", h.index, err)
	}
	return m
}

// What a run of random histories must have seen to count.
var mustSee = []string{
	"attached", "replaced", "old epoch", "two sessions ended in one entry", "later arm",
	"lock-delay", "parked LockAll", "resized", "restored", "forgotten",
	"forgotten after a lock-delay longer than the grace", "replaced with a lock-delay",
	"refused by a resize", "granted by a resize", "recalled when granted", "joined",
	"granted again", "granted again, a later arm", "result again", "described holders and waiters",
	"code 1", "code 2", "code 3", "code 4", "code 5", "code 6", "code 9", "code 10", "code 11",
	"refusal 1", "refusal 2", "refusal 3", "refusal 4", "refusal 7",
}

func TestMachineAgainstModel(t *testing.T) {
	histories := 600
	if testing.Short() {
		histories = 100
	}
	seen := map[string]int{}
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 1))
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			newHistory(t, r.IntN, seen).run(150)
		})
		if t.Failed() {
			return
		}
	}
	for _, state := range mustSee {
		if seen[state] == 0 {
			t.Errorf("state %q was never reached", state)
		}
	}
	t.Log(seen)
}

func FuzzApply(f *testing.F) {
	f.Add([]byte("a history is the choices it makes"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		intn := func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			v := int(choices[0])
			choices = choices[1:]
			if n > 256 && len(choices) > 0 {
				v = v<<8 | int(choices[0])
				choices = choices[1:]
			}
			return v % n
		}
		h := newHistory(t, intn, map[string]int{})
		h.run(0)
		for range 150 {
			if len(choices) == 0 {
				return
			}
			h.step()
		}
	})
}

package machine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
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
	callers []*fakeCaller
	opening []*fakeCaller  // by this entry, in the order of its commands
	seen    map[string]int // interesting states, for coverage
	plain   bool           // nothing but locks, semaphores and elections, so that these meet often

	old     *machine.Snapshot // kept alive, and re-hashed later
	oldHash uint64
	oldAge  int

	chans int // one of so many waits and ops is about channels; 0 is none
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
	return &history{
		tb: tb, intn: intn, machine: machine.New(), model: newModel(seen), seen: seen, plain: intn(2) == 0,
	}
}

func (h *history) run(entries int) {
	if h.chans = []int{2, 12}[h.intn(2)]; h.plain {
		h.chans = 0
	}
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
	if h.intn(100) == 0 {
		commands = h.hammer()
	}
	if len(h.clients) > 0 && h.chans > 0 && h.intn(20) == 0 {
		commands = append(commands, h.crowd()...)
	}
	if len(h.clients) > 0 && !h.plain && h.intn(25) == 0 {
		commands = append(commands, h.drama()...)
	}
	for range 1 + h.intn(3) {
		if c := h.command(); c != nil {
			commands = append(commands, c)
		}
	}
	h.apply(increment, commands...)
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
			if e.Type == machine.EventOutcome && e.Session == id.Session && e.Seq == id.Seq && e.Code != park.Recalled {
				return e.Arm
			}
		}
		return -1
	}
	h.model.events = nil
	changes := h.machine.Changes()
	h.model.apply(h.index, increment, commands)
	h.compare(results, commands, events)
	h.compareChanges(changes)
	if err := h.machine.Check(); err != nil {
		h.tb.Fatalf("entry %d: %v", h.index, err)
	}
	h.learn(results, events)
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

// compareChanges demands that the machine has numbered the same changes.
func (h *history) compareChanges(got []machine.Change) {
	h.tb.Helper()
	want := h.model.changes
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			h.tb.Fatalf("entry %d: no change %+v", h.index, want[i])
		case i >= len(want):
			h.tb.Fatalf("entry %d: a change too many: %+v", h.index, got[i])
		case got[i] != want[i]:
			h.tb.Fatalf("entry %d: change\n%+v\nshould be\n%+v", h.index, got[i], want[i])
		}
	}
	if got, want := h.machine.Revision(), h.model.revision; got != want {
		h.tb.Fatalf("entry %d: revision %d, should be %d", h.index, got, want)
	}
}

// learn lets the fake clients know their sessions and counts what was reached.
func (h *history) learn(results []any, events []machine.Event) {
	h.learnResults(results)
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
				h.callers = slices.DeleteFunc(h.callers, func(c *fakeCaller) bool { return c.id == e.Session })
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

// learnResults lets the fake callers know their sessions.
func (h *history) learnResults(results []any) {
	for _, r := range results {
		switch r := r.(type) {
		case machine.Opened:
			c := h.opening[0]
			h.opening = h.opening[1:]
			if c.id = r.Session; c.id != 0 {
				h.callers = append(h.callers, c)
			}
		case machine.Called:
			h.seen[fmt.Sprintf("call refused %d", r.Refusal)]++
		}
	}
	if len(h.callers) > 4 {
		h.callers = h.callers[1:]
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
var mustSee = slices.Concat(
	[]string{
		"attached", "replaced", "old epoch", "two sessions ended in one entry", "later arm",
		"lock-delay", "parked LockAll", "resized", "restored", "forgotten",
		"forgotten after a lock-delay longer than the grace", "replaced with a lock-delay",
		"refused by a resize", "granted by a resize", "recalled when granted", "joined",
		"granted again", "granted again, a later arm", "result again", "described holders and waiters",
		"code 1", "code 2", "code 3", "code 4", "code 5", "code 6", "code 9", "code 10", "code 11",
		"refusal 1", "refusal 2", "refusal 3", "refusal 4", "refusal 7",
	},
	[]string{ // deadlocks
		"deadlock of 1", "deadlock of 2", "deadlock of 3", "unary deadlock", "deadlock by a wait without a lineage", "deadlock by a resize",
	},
	[]string{ // elections
		"led", "led with a select", "led with a LockAll", "proclaimed", "a leadership in a LockAll refused",
		"transferred", "transferred to one of several candidacies", "transferred within a session",
		"transferred to a revoked session", "transferred to a select", "transferred past others",
		"transferred from unary to stream", "transferred from stream to unary",
		"transfer to nobody", "transfer past a LockAll",
	},
	[]string{ // requests
		"request joined", "request granted again", "request answered again", "request after its end",
		"end before its request", "end after its request's end", "unary wait cancelled",
		"request forgotten", "forgotten request asked anew", "target forgotten",
		"unary proclaimed", "unary left", "unary recalled", "unary lock-delay", "unary ended with a parked call",
		"call refused 0", "call refused 1", "call refused 2", "call refused 5", "call refused 7",
	},
	[]string{ // changes and what reads
		"change 1", "change 2", "change 3", "change 4", "change 5",
		"ending 1", "ending 2", "ending 3", "ending 4", "ending 5", "ending 6", "ending 7",
		"waited", "waited for a hold without a trace",
		"listed a page", "listed several kinds", "described nothing", "described kind 1", "described kind 2", "described kind 3",
	},
	mustSeeLatches,
	mustSeeChannels,
	mustSeeConds,
)

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
		if seen[state] == 0 && !testing.Short() { // which is too short for all of them
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

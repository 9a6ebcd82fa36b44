package machine_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

var histories = flag.Int("histories", 20_000, "how many tiny worlds TestDeadlocksAreExact goes through")

// TestDeadlocksAreExact holds the search against all futures of tiny worlds: a wait is refused
// as a deadlock if, and only if, in none of them it is granted, whoever lets go of what under
// the contract of SEMANTICS G1 (futures_test.go). `make exact` goes through a million.
func TestDeadlocksAreExact(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(*histories) {
		newTiny(t, rand.New(rand.NewPCG(seed, 7)), seen).run(seed)
	}
	for _, state := range []string{
		"granted", "parked", "parked with a lineage", "deadlock", "a cycle of 1", "a cycle of 2", "a cycle of 3",
		"a cycle of 4", "through a queue", "through a hold", "through a semaphore", "through an election", "through a LockAll", "through a select",
		"through a wait without a lineage", "through another session's hold", "an upgrade",
		"a reader behind a writer behind itself", "refused without a lineage", "refused by a resize", "passed by a resize",
		"a select that one arm saves", "a semaphore with permits enough for others", "a select ahead that will leave",
		"a named hold ended", "a wait cancelled", "named a hold that was over",
	} {
		if seen[state] == 0 {
			t.Errorf("state %q was never reached", state)
		}
	}
	t.Log(seen)
}

// The same where one lock has so many readers that a search cannot look at all that the wait
// depends on, and looks at what depends on the wait.
func TestDeadlocksAreExactInACrowd(t *testing.T) {
	crowd := machine.New()
	f := &machine.Frame{Session: 1, Epoch: 1}
	for n := range 4_200 {
		read := park.Arm{On: crowded(), Shared: true, N: 1}
		f.Ops = append(f.Ops, machine.Op{Seq: park.Seq(n + 1), Do: machine.DoWait, Wait: machine.Wait{
			Commit: park.Any, Arms: []park.Arm{read},
		}})
	}
	crowd.Apply(1, 0, []machine.Command{
		&machine.Bootstrap{Cluster: "c"}, &machine.Attach{Instance: 9, Epoch: 1, TTL: machine.MaxTTL}, f,
	})
	snapshot := written(t, crowd)
	seen := map[string]int{}
	for seed := range uint64(max(*histories/100, 100)) {
		m, err := machine.Restore(bytes.NewReader(snapshot))
		if err != nil {
			t.Fatal(err)
		}
		w := &tiny{
			t: t, r: rand.New(rand.NewPCG(seed, 8)), seen: seen, machine: m, index: 1, crowd: true, first: 2,
			future: future{limit: 2},
		}
		w.open()
		w.run(seed)
		if n := m.Unsearched(); n != 0 {
			t.Fatalf("%d waits were not searched", n)
		}
	}
	for _, state := range []string{"parked in a crowd", "refused in a crowd", "a cycle of 1", "a cycle of 2", "through a queue"} {
		if seen[state] == 0 {
			t.Errorf("state %q was never reached", state)
		}
	}
	t.Log(seen)
}

// crowded is the lock with many readers.
func crowded() park.Object { return tinyObject(park.KindLock, -1) }

// A tiny is a small world: a machine, and what its sessions hold and wait for.
type tiny struct {
	t       *testing.T
	r       *rand.Rand
	seen    map[string]int
	machine *machine.Machine
	index   uint64
	last    [3]park.Seq
	ended   []park.ID
	first   park.SessionID // of three
	crowd   bool           // there is a lock with many readers
	future
}

// A tinyCall waits or holds.
type tinyCall struct {
	id     park.ID
	arms   []park.Arm // of a hold, what it holds
	commit park.Commit
	prio   int32
	order  int
	names  []park.ID
	site   string
	holds  bool
}

func newTiny(t *testing.T, r *rand.Rand, seen map[string]int) *tiny {
	w := &tiny{t: t, r: r, seen: seen, machine: machine.New(), first: 1, future: future{limit: 2 + r.Int64N(2)}}
	w.apply(&machine.Bootstrap{Cluster: "c"})
	w.open()
	return w
}

func (w *tiny) open() {
	for n := range w.last {
		w.apply(&machine.Attach{Instance: uint64(n + 1), Epoch: 1, TTL: machine.MaxTTL, Who: fmt.Sprint("who ", n)})
	}
	w.op(0, machine.Op{Do: machine.DoResize, On: tinyObject(park.KindSemaphore, 0), N: w.limit})
}

func (w *tiny) run(seed uint64) {
	for range 14 {
		w.step()
	}
	if w.t.Failed() {
		w.t.Fatalf("seed %d", seed)
	}
}

// session is which of the three a call is of.
func (w *tiny) session(id park.ID) int { return int(id.Session - w.first) }

// apply gives the machine one command and learns who holds. It returns the refusals.
func (w *tiny) apply(c machine.Command) (refused []machine.Event) {
	w.index++
	_, events := w.machine.Apply(w.index, 1, []machine.Command{c})
	for _, e := range events {
		c := w.call(park.ID{Session: e.Session, Seq: e.Seq})
		switch {
		case e.Type != machine.EventOutcome:
		case e.Code == park.Granted:
			if c.holds = true; c.commit != park.Every {
				c.arms = c.arms[e.Arm : e.Arm+1]
			}
			c.names = nil
		case e.Code == park.Deadlock, e.Code == park.Invalid && c != nil:
			refused = append(refused, e)
		}
	}
	return refused
}

func (w *tiny) op(session int, op machine.Op) []machine.Event {
	w.last[session]++
	op.Seq = w.last[session]
	return w.apply(&machine.Frame{Session: w.first + park.SessionID(session), Epoch: 1, Ops: []machine.Op{op}})
}

func (w *tiny) forget(id park.ID) {
	w.calls = slices.DeleteFunc(w.calls, func(c *tinyCall) bool { return c.id == id })
	w.ended = append(w.ended, id)
}

func (w *tiny) step() {
	var waits, holds []*tinyCall
	for _, c := range w.calls {
		if c.holds {
			holds = append(holds, c)
		} else {
			waits = append(waits, c)
		}
	}
	switch n := w.r.IntN(20); {
	case n < 14 && len(waits) < 5 && len(holds) < 7:
		w.wait(holds)
	case n < 18 && len(holds) > 0:
		c := holds[w.r.IntN(len(holds))]
		if w.named(c) {
			if w.r.IntN(4) > 0 {
				return
			}
			w.seen["a named hold ended"]++ // it is off the contract; what then can proceed does
		}
		w.forget(c.id)
		w.op(w.session(c.id), machine.Op{Do: machine.DoEnd, To: c.id.Seq})
	case n == 18 && len(waits) > 0:
		c := waits[w.r.IntN(len(waits))]
		w.seen["a wait cancelled"]++
		w.forget(c.id)
		w.op(w.session(c.id), machine.Op{Do: machine.DoEnd, To: c.id.Seq})
	case n == 19:
		w.resize()
	}
	w.allCan()
}

// allCan demands that whoever waits can proceed.
func (w *tiny) allCan() {
	can := w.granted()
	for _, c := range w.calls {
		if !c.holds && !can[c.id] {
			w.t.Errorf("entry %d: %v can never proceed and is parked, of %s", w.index, c.id, w)
		}
	}
}

// resize sets the limit. Who is refused could never have proceeded, given that those refused
// before it are gone.
func (w *tiny) resize() {
	limit := 1 + w.r.Int64N(3)
	before := w.limit
	w.limit = limit
	then := w.copy()
	refused := w.op(0, machine.Op{Do: machine.DoResize, On: tinyObject(park.KindSemaphore, 0), N: limit})
	now := w.future
	w.future = then
	for _, e := range refused {
		id := park.ID{Session: e.Session, Seq: e.Seq}
		if e.Code == park.Deadlock {
			w.seen["refused by a resize"]++
			if can := w.granted(); can[id] {
				w.t.Errorf("%v is refused by a resize and could proceed, of %s", id, w)
			}
			w.told(e)
		}
		w.forget(id)
	}
	w.future = now
	for _, e := range refused {
		w.forget(park.ID{Session: e.Session, Seq: e.Seq})
	}
	if len(refused) == 0 && limit < before {
		w.seen["passed by a resize"]++
	}
}

func (w *tiny) wait(holds []*tinyCall) {
	session := w.r.IntN(len(w.last))
	w.order++
	c := &tinyCall{
		id: park.ID{Session: w.first + park.SessionID(session), Seq: w.last[session] + 1}, commit: park.Any, order: w.order,
	}
	c.arms = w.arms(c)
	for range 3 { // most programs do not wait for what they hold
		if slices.ContainsFunc(holds, func(h *tinyCall) bool {
			return h.id.Session == c.id.Session && slices.ContainsFunc(h.arms, func(a park.Arm) bool { return a.On == c.arms[0].On })
		}) {
			c.arms = w.arms(c)
		}
	}
	if w.r.IntN(6) == 0 {
		c.prio = int32(w.r.IntN(3)) - 1
	}
	op := machine.Op{Do: machine.DoWait, Wait: machine.Wait{Arms: c.arms, Commit: c.commit, Prio: c.prio}}
	op.Wait.Lineage = w.lineage(c, holds)
	w.calls = append(w.calls, c)
	refused := w.op(session, op)
	switch {
	case c.holds:
		w.seen["granted"]++
	case len(refused) == 0:
		w.seen["parked"]++
		w.crowded(c, "parked in a crowd")
		if len(c.names) > 0 {
			w.seen["parked with a lineage"]++
		}
		w.saved(c)
	case refused[0].Code == park.Deadlock:
		w.seen["deadlock"]++
		w.crowded(c, "refused in a crowd")
		if len(c.names) == 0 {
			w.seen["refused without a lineage"]++
		}
		if can := w.granted(); can[c.id] {
			w.t.Errorf("%v is refused and could proceed, of %s", c.id, w)
		}
		w.told(refused[0])
		w.forget(c.id)
	default: // more permits than there are
		w.forget(c.id)
	}
}

func (w *tiny) crowded(c *tinyCall, state string) {
	if len(c.names) > 0 && slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On == crowded() }) {
		w.seen[state]++
	}
}

// kept is how many permits somebody promises to keep.
func (w *tiny) kept() (n int64) {
	for _, h := range w.calls {
		for _, a := range h.arms {
			if h.holds && a.On.Kind == park.KindSemaphore && w.named(h) {
				n += a.N
			}
		}
	}
	return n
}

// saved counts waits that would be stuck but for something.
func (w *tiny) saved(c *tinyCall) {
	if c.commit == park.Any && len(c.arms) > 1 && w.r.IntN(4) == 0 {
		all := c.arms
		for i := range all {
			c.arms = all[i : i+1]
			if can := w.granted(); !can[c.id] {
				w.seen["a select that one arm saves"]++
			}
		}
		c.arms = all
	}
	for _, a := range c.arms {
		if a.On.Kind != park.KindSemaphore || c.commit == park.Any && len(c.arms) > 1 {
			continue
		}
		kept := w.kept()
		if kept > 0 && w.limit-kept >= a.N {
			w.seen["a semaphore with permits enough for others"]++
		}
		for _, o := range w.calls {
			for _, b := range o.arms {
				if kept > 0 && !o.holds && o != c && o.before(c) && b.On == a.On && w.limit-kept < b.N {
					w.seen["a select ahead that will leave"]++
				}
			}
		}
	}
}

func tinyObject(kind park.Kind, n int) park.Object {
	return park.Object{Kind: kind, Name: string(rune('x' + n))}
}

func (w *tiny) arms(c *tinyCall) (arms []park.Arm) {
	n := 1
	c.commit = park.Any
	if w.r.IntN(3) == 0 {
		n = 1 + w.r.IntN(3)
		c.commit = park.Commit(1 + w.r.IntN(3))
	}
	for range n {
		switch w.r.IntN(8) {
		case 0, 1:
			arms = append(arms, park.Arm{On: tinyObject(park.KindSemaphore, 0), N: 1 + w.r.Int64N(2), Limit: 0})
		case 2:
			arms = append(arms, park.Arm{On: tinyObject(park.KindElection, 0), N: 1})
		default:
			arms = append(arms, park.Arm{
				On: tinyObject(park.KindLock, w.r.IntN(3)), N: 1, Shared: w.r.IntN(3) == 0,
			})
		}
	}
	if w.crowd && c.commit == park.Every {
		arms = append(arms, park.Arm{On: crowded(), Shared: true, N: 1})
	}
	if c.commit == park.Every {
		slices.SortFunc(arms, func(a, b park.Arm) int { return a.On.Compare(b.On) })
		arms = slices.CompactFunc(arms, func(a, b park.Arm) bool { return a.On == b.On })
	}
	return arms
}

// lineage names what the session holds, some of what anybody holds, or nothing.
func (w *tiny) lineage(c *tinyCall, holds []*tinyCall) *park.Lineage {
	l := &park.Lineage{Site: fmt.Sprint("wait ", c.id)}
	name := func(id park.ID) {
		l.Holds = append(l.Holds, park.Named{ID: id, Site: fmt.Sprint("hold ", id)})
	}
	switch n := w.r.IntN(10); {
	case n < 3:
		return nil
	case n == 3 && len(w.ended) > 0:
		name(w.ended[w.r.IntN(len(w.ended))])
		w.seen["named a hold that was over"]++
	}
	for _, h := range holds {
		if h.id.Session == c.id.Session && w.r.IntN(8) > 0 || w.r.IntN(12) == 0 {
			c.names = append(c.names, h.id)
			name(h.id)
		}
	}
	c.site = l.Site
	return l
}

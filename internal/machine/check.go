package machine

import (
	"errors"
	"fmt"
	"slices"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/lock"
)

// Check recomputes what must be true between two entries (SEMANTICS J) and returns every
// breach. It costs O(n log n); tests and simulation call it, the daemon does not.
func (m *Machine) Check() error {
	c := &checker{m: m, held: map[park.Object][]tenure{}, tokens: map[park.Token]park.ID{}}
	c.sessions()
	c.holds()
	c.objects()
	c.waiters()
	c.channels()
	c.derived()
	return errors.Join(c.faults...)
}

type checker struct {
	m      *Machine
	faults []error
	held   map[park.Object][]tenure
	tokens map[park.Token]park.ID
}

type tenure struct {
	id    park.ID
	arm   park.Arm
	token park.Token
}

func (c *checker) failf(rule int, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("J%d: %w", rule, fmt.Errorf(format, args...)))
}

// sessions checks leases against the clock (J8) and that each seq is one thing (J7).
func (c *checker) sessions() {
	m, live, overdue := c.m, int64(0), 0
	for s, st := range m.book.Sessions() {
		l, ok := m.book.Lease(s)
		if !ok {
			c.failf(1, "session %v has no lease", s)
		}
		if !st.Over {
			live++
			if st.Stamp > m.clock {
				c.failf(8, "session %v was renewed at %d, after the clock %d", s, st.Stamp, m.clock)
			}
			if remaining(l, st, m.clock) <= 0 {
				overdue++
			}
		}
		c.calls(s, st)
	}
	if n, _ := m.book.Len(); n != live {
		c.failf(7, "%d sessions live, counted as %d", live, n)
	}
	if due, ok := m.book.NextDue(); overdue > 0 && (!ok || due > m.clock) {
		c.failf(8, "%d sessions are overdue and no alarm says so", overdue)
	}
}

func (c *checker) calls(s park.SessionID, st session.State) {
	seen := map[park.Seq]string{}
	note := func(id park.ID, what string) {
		if was := seen[id.Seq]; was != "" {
			c.failf(7, "call %v is both %s and %s", id, was, what)
		}
		if id.Seq == 0 || id.Seq > st.Last {
			c.failf(7, "call %v is %s, but the last seq is %d", id, what, st.Last)
		}
		seen[id.Seq] = what
	}
	for id := range c.m.lot.Of(s) {
		note(id, "parked")
		if st.Over {
			c.failf(1, "call %v waits and its session is over", id)
		}
	}
	for id, h := range c.m.book.HoldsOf(s) {
		note(id, "held")
		if st.Over != (h.Free != 0) {
			c.failf(1, "hold %v: session over %v, delayed until %d", id, st.Over, h.Free)
		}
	}
	for id := range c.m.book.KeptOf(s) {
		note(id, "kept")
	}
	if st.Epoch == 0 && !st.Over {
		c.requests(s, seen)
	}
	if len(seen) != int(st.Open) || st.Open > 2*session.MaxOpen {
		c.failf(7, "session %v has %d open calls, counted as %d", s, len(seen), st.Open)
	}
}

// requests checks that the calls of a session without a stream that wait or hold, and no
// others, are those whose requests have not ended.
func (c *checker) requests(s park.SessionID, open map[park.Seq]string) {
	n := 0
	for seq, a := range c.m.book.Requests(s) {
		if (a.Ended == 0) != (open[seq] != "") {
			c.failf(7, "call %d of session %v: ended %d, and it is %q", seq, s, a.Ended, open[seq])
		}
		if a.Ended == 0 {
			n++
		}
	}
	if n != len(open) {
		c.failf(7, "session %v has %d open requests and %d open calls", s, n, len(open))
	}
}

// holds gathers who holds what (J1) and checks tokens (J5).
func (c *checker) holds() {
	for id, h := range c.m.book.Holds() {
		if _, ok := c.m.book.State(id.Session); !ok {
			c.failf(1, "hold %v of no session", id)
		}
		alone := false
		for _, a := range h.Arms {
			c.held[a.On] = append(c.held[a.On], tenure{id, a, h.Token})
			alone = alone || c.m.exclusive(a)
			if _, took := lock.TookSignal(a); took || ofCond(a) {
				c.failf(1, "hold %v is of %+v", id, a)
			}
		}
		if alone != (h.Token != 0) {
			c.failf(5, "hold %v: exclusive %v, token %d", id, alone, h.Token)
		}
		if h.Token == 0 {
			continue
		}
		if other, taken := c.tokens[h.Token]; taken || h.Token > c.m.token || h.Token <= 0 {
			c.failf(5, "token %d of %v: also %v; last given %d", h.Token, id, other, c.m.token)
		}
		c.tokens[h.Token] = id
	}
	if c.m.token < c.m.floor {
		c.failf(5, "token %d is below the floor %d", c.m.token, c.m.floor)
	}
}

// objects checks that what is held is compatible, and that the room agrees (J1, J2).
func (c *checker) objects() {
	// order-free: which fault is named first does not matter
	for on, tenures := range c.held {
		sum, alone := int64(0), 0
		for _, t := range tenures {
			sum += t.arm.N
			if c.m.exclusive(t.arm) {
				alone++
			}
			if t.arm.N < 1 {
				c.failf(2, "%v holds %d of %v", t.id, t.arm.N, on)
			}
		}
		elements := on.Kind == park.KindChan // each of which is held by one
		if !elements && (alone > 1 || alone == 1 && len(tenures) > 1) {
			c.failf(2, "%v is held exclusively %d times, by %d in all", on, alone, len(tenures))
		}
		if s, ok := c.m.locks.Semaphore(on); ok != (on.Kind == park.KindSemaphore) || ok && s.Held != sum {
			c.failf(10, "%v: %d permits are held, counted as %d", on, sum, s.Held)
		}
	}
	one := func(id park.ID, on park.Object) bool { return c.holding(id, on, 1) }
	c.faults = append(c.faults, c.m.locks.Check(c.holding, c.arms(park.KindLock)+c.arms(park.KindSemaphore))...)
	c.faults = append(c.faults, c.m.elections.Check(one, c.arms(park.KindElection))...)
	c.faults = append(c.faults, c.m.onces.Check(one, c.arms(park.KindOnce))...)
	c.faults = append(c.faults, c.m.groups.Check(func(s park.SessionID) bool {
		_, live := c.m.book.Live(s)
		return live
	})...)
}

// holding reports whether a call holds so much of an object.
func (c *checker) holding(id park.ID, on park.Object, n int64) bool {
	return slices.ContainsFunc(c.held[on], func(t tenure) bool { return t.id == id && t.arm.N == n })
}

// arms is how many arms of all holds are of a kind.
func (c *checker) arms(of park.Kind) int {
	n := 0
	// order-free: a sum
	for on, tenures := range c.held {
		if on.Kind == of {
			n += len(tenures)
		}
	}
	return n
}

// waiters checks that nobody who could proceed is parked (J3), and the queues (J4).
func (c *checker) waiters() {
	for id, w := range c.m.lot.All() {
		if st, live := c.m.book.Live(id.Session); !live || id.Seq > st.Last {
			c.failf(1, "waiter %v of no live session", id)
		}
		c.conds(id, &w)
		if c.ready(id, &w) {
			c.failf(3, "waiter %v could proceed and is parked", id)
		}
		if w.Until != 0 && w.Until <= c.m.clock {
			if due, ok := c.m.book.NextDue(); !ok || due > c.m.clock {
				c.failf(10, "waiter %v is past its limit", id)
			}
		}
	}
	if err := c.m.lot.Check(); err != nil {
		c.failf(4, "%w", err)
	}
	if c.m.turns.Len() != 0 {
		c.failf(4, "%d turns are left over", c.m.turns.Len())
	}
}

// conds checks that who waits on a cond, or took a Signal of one, waits for nothing else (J4).
func (c *checker) conds(id park.ID, w *park.Waiter) {
	for _, a := range w.Arms {
		if _, took := lock.TookSignal(a); (took || ofCond(a)) && len(w.Arms) != 1 {
			c.failf(4, "waiter %v is on %v, and waits for %d things", id, a.On, len(w.Arms))
		}
	}
}

func (c *checker) ready(id park.ID, w *park.Waiter) bool {
	n := 0
	for i := range w.Arms {
		if c.m.free(id, w, i) {
			n++
		}
	}
	return n == len(w.Arms) || n > 0 && w.Commit != park.Every
}

// derived checks alarms and running hashes against a recomputation (J10).
func (c *checker) derived() {
	want := map[park.ID]park.Clock{}
	for id, w := range c.m.lot.All() {
		if w.Until != 0 {
			want[id] = w.Until
		}
	}
	for id, h := range c.m.book.Holds() {
		if h.Free != 0 {
			want[id] = h.Free
		}
	}
	if err := c.m.book.Check(want); err != nil {
		c.failf(10, "%w", err)
	}
	for i, ch := range c.m.changes {
		if ch.Revision != c.m.revision-uint64(len(c.m.changes)-1-i) { //nolint:gosec // not negative
			c.failf(10, "change %d of %d has revision %d, the last is %d", i, len(c.m.changes), ch.Revision, c.m.revision)
		}
	}
	if err := errors.Join(c.m.checkStage(), c.m.stage.pieces.Check()); err != nil {
		c.failf(10, "%w", err)
	}
	c.faults = append(c.faults, c.m.tables.Check(c.m.revision)...)
	if err := errors.Join(c.m.lot.CheckSum(), c.m.locks.CheckSum(), c.m.groups.CheckSum(), c.m.onces.CheckSum(),
		c.m.tables.CheckSum(), c.m.channels.CheckSum()); err != nil {
		c.failf(10, "%w", err)
	}
}

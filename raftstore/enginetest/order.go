package enginetest

import (
	"errors"
	"sync"
	"time"

	"coordd.dev/raftstore"
)

// testTotalOrder: many callers, one order.
func testTotalOrder(h *harness) {
	h.steadily(func(leader *node) error {
		errs := make([]error, 8)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() {
				for range 50 {
					if o := h.propose(h.t.Context(), leader); o.err != nil {
						errs[i] = o.err
						return
					}
				}
			})
		}
		callers.Wait()
		return first(errs, h.deposed)
	})
	h.settle()
}

// testSubmitOrder: what one goroutine submits is applied in that order, many commands
// an entry.
func testSubmitOrder(h *harness) {
	const n = 2000
	h.steadily(func(leader *node) error {
		entries := leader.machine.now().Entries
		done := make(chan outcome, n)
		for range n {
			h.submit(leader, func(o outcome) { done <- o })
		}
		last, errs := -1, make([]error, n)
		for i := range errs {
			o := <-done
			if errs[i] = o.err; o.err != nil {
				continue
			}
			if o.place <= last {
				h.t.Errorf("place %d after %d", o.place, last)
			}
			last = o.place
		}
		if err := first(errs, h.deposed); err != nil {
			return err
		}
		if got := leader.machine.now().Entries - entries; got > n/2 {
			h.t.Errorf("%d commands took %d entries", n, got)
		}
		return nil
	})
	h.settle()
}

// first is the first error, but one that may pass only if there is no other.
func first(errs []error, pass func(error) bool) error {
	var passing error
	for _, err := range errs {
		switch {
		case err == nil:
		case !pass(err):
			return err
		case passing == nil:
			passing = err
		}
	}
	return passing
}

// testMembers: everybody knows the configuration.
func testMembers(h *harness) {
	h.settle()
	for _, n := range h.running() {
		members := n.engine.Members()
		if len(members) != len(h.nodes) {
			h.t.Errorf("node %d knows of %v", n.number, members)
		}
		for _, m := range members {
			if !m.Voter || m.ID == "" || m.Address == "" {
				h.t.Errorf("node %d knows of %+v", n.number, m)
			}
		}
	}
}

// testClock: ticks advance the clock by the time that passed, and a new leader does not
// count the time before it.
func testClock(h *harness) {
	h.steadily(h.ticks)
	leader := h.commit()
	before, since := leader.machine.now().Clock, time.Now()
	h.kill(leader.number)
	next := h.leader()
	if got := next.machine.now().Clock; got > before+time.Since(since) {
		h.t.Errorf("the clock went from %v to %v", before, got)
	}
	h.start(leader.number)
	h.settle()
}

// ticks holds the clock against the time while a node leads, and says ErrNotLeader if
// that was not all the time: then some of it is nobody's.
func (h *harness) ticks(leader *node) error {
	const idle = 300 * time.Millisecond
	term, began := leader.reign(), time.Now()
	if o := h.propose(h.t.Context(), leader); o.err != nil {
		return o.err
	}
	clock := leader.machine.now().Clock
	<-time.After(idle)
	if err := h.tick(leader, term); err != nil {
		return err
	}
	if o := h.propose(h.t.Context(), leader); o.err != nil {
		return o.err
	}
	got, passed := leader.machine.now().Clock-clock, time.Since(began)
	if term == 0 || leader.reign() != term {
		return raftstore.ErrNotLeader
	}
	if got < idle || got > passed {
		h.t.Errorf("the clock advanced by %v, in %v", got, passed)
	}
	return nil
}

// tick asks for an entry and waits until it is applied, or the node no longer leads in
// the term.
func (h *harness) tick(n *node, term uint64) error {
	h.t.Helper()
	before, _ := n.machine.entries.Get()
	deadline := time.After(patience)
	for {
		entries, applied := n.machine.entries.Get()
		if entries > before {
			return nil
		}
		lead, changed := n.log.Leadership()
		if !lead.Leading || lead.Term != term {
			return raftstore.ErrNotLeader
		}
		n.log.Tick() // once, unless the leadership changed and changed back
		select {
		case <-applied:
		case <-changed:
		case <-deadline:
			h.t.Fatalf("no entry for a tick in %v", patience)
		}
	}
}

// testOtherTerm: an entry of another term is never applied.
func testOtherTerm(h *harness) {
	h.steadily(func(leader *node) error {
		state, _ := leader.engine.State()
		for _, term := range []uint64{0, state.Term - 1, state.Term + 1} {
			data := raftstore.AppendEntry(nil, raftstore.Entry{
				Term:      term,
				Increment: time.Hour,
				Commands:  [][]byte{[]byte("stray")},
			})
			_, _, err := leader.engine.Append(h.t.Context(), data)
			if errors.Is(err, raftstore.ErrUnknown) && h.deposed(err) {
				return err // it says nothing of terms
			}
			if !errors.Is(err, raftstore.ErrNotLeader) {
				h.t.Errorf("append of term %d in term %d: %v", term, state.Term, err)
			}
		}
		return nil
	})
	h.tell("stray", nil, raftstore.ErrNotLeader)
	h.settle()
}

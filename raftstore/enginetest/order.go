package enginetest

import (
	"errors"
	"sync"
	"time"

	"coordd.dev/raftstore"
)

// testTotalOrder: many callers, one order.
func testTotalOrder(h *harness) {
	leader := h.leader()
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 50 {
				if o := h.propose(h.t.Context(), leader); o.err != nil {
					h.t.Errorf("propose: %v", o.err)
				}
			}
		})
	}
	callers.Wait()
	h.settle()
}

// testSubmitOrder: what one goroutine submits is applied in that order, many commands
// an entry.
func testSubmitOrder(h *harness) {
	const n = 2000
	leader := h.leader()
	entries := leader.machine.now().Entries
	done := make(chan outcome, n)
	for range n {
		h.submit(leader, func(o outcome) { done <- o })
	}
	last := -1
	for range n {
		o := <-done
		if o.err != nil || o.place <= last {
			h.t.Fatalf("place %d after %d: %v", o.place, last, o.err)
		}
		last = o.place
	}
	if got := leader.machine.now().Entries - entries; got > n/2 {
		h.t.Errorf("%d commands took %d entries", n, got)
	}
	h.settle()
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
	leader := h.leader()
	began := time.Now()
	h.must(leader)
	clock := leader.machine.now().Clock
	const idle = 300 * time.Millisecond
	<-time.After(idle)
	leader.log.Tick()
	entries := leader.machine.now().Entries
	for leader.machine.now().Entries == entries && time.Since(began) < patience {
		h.pause(h.t.Context())
	}
	h.must(leader)
	passed := time.Since(began)
	if got := leader.machine.now().Clock - clock; got < idle || got > passed {
		h.t.Errorf("the clock advanced by %v, in %v", got, passed)
	}
	before := leader.machine.now().Clock
	h.kill(leader.number)
	next := h.leader()
	if got := next.machine.now().Clock; got > before+time.Since(began)-passed {
		h.t.Errorf("the clock went from %v to %v", before, got)
	}
	h.start(leader.number)
	h.settle()
}

// testOtherTerm: an entry of an earlier term is never applied.
func testOtherTerm(h *harness) {
	leader := h.leader()
	state, _ := leader.engine.State()
	for _, term := range []uint64{0, state.Term - 1, state.Term + 1} {
		data := raftstore.AppendEntry(nil, raftstore.Entry{
			Term:      term,
			Increment: time.Hour,
			Commands:  [][]byte{[]byte("stray")},
		})
		if _, _, err := leader.engine.Append(h.t.Context(), data); !errors.Is(err, raftstore.ErrNotLeader) {
			h.t.Errorf("append of term %d in term %d: %v", term, state.Term, err)
		}
	}
	h.tell("stray", nil, raftstore.ErrNotLeader)
	h.settle()
}

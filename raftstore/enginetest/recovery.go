package enginetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coordd.dev/raftstore"
)

// testRestartAll: what succeeded survives the death of all nodes at once.
func testRestartAll(h *harness) {
	stop := h.load()
	for range h.rounds() {
		for range 5 {
			h.commit()
		}
		for _, n := range h.running() {
			h.kill(n.number)
		}
		for i := range h.nodes {
			h.start(i)
		}
		h.leader()
	}
	stop()
	h.settle()
}

// testCaughtUp: a node that starts has caught up only with all that had succeeded.
func testCaughtUp(h *harness) {
	for range h.rounds() {
		leader := h.commit()
		late := others(h, leader.number)[0]
		h.kill(late)
		for range 20 {
			h.commit()
		}
		succeeded := h.succeeded()
		n := h.start(late)
		h.caughtUp(n)
		h.has(n, succeeded)
	}
	h.settle()
}

func (h *harness) caughtUp(n *node) {
	h.t.Helper()
	deadline := time.After(patience)
	for {
		state, changed := n.engine.State()
		if state.CaughtUp {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			h.t.Fatalf("node %d has not caught up after %v: %+v", n.number, patience, state)
		}
	}
}

// snapshot takes one on a node, once that has applied what succeeded before.
func (h *harness) snapshot(n *node) {
	h.t.Helper()
	h.await(n, len(h.succeeded()))
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	if err := n.engine.Snapshot(ctx); err != nil {
		h.t.Fatalf("snapshot on node %d: %v", n.number, err)
	}
}

// testSnapshot: nodes start from a snapshot and the log behind it.
func testSnapshot(h *harness) {
	stop := h.load()
	for range h.rounds() {
		for range 20 {
			h.commit()
		}
		for _, n := range h.running() {
			h.snapshot(n)
		}
		for range 5 {
			h.commit()
		}
		for _, n := range h.running() {
			h.kill(n.number)
		}
		for i := range h.nodes {
			if n := h.start(i); n.machine.restored() == 0 {
				h.t.Errorf("node %d started without its snapshot", i)
			}
		}
	}
	stop()
	h.settle()
}

// testSlowFollower: a node that was dead while the log was truncated gets a snapshot.
func testSlowFollower(h *harness) {
	late := others(h, h.leader().number)[0]
	h.kill(late)
	for range 30 {
		h.commit()
	}
	for _, n := range h.running() {
		h.snapshot(n)
	}
	n := h.start(late)
	h.settle()
	if n.machine.restored() == 0 {
		h.t.Error("the follower caught up without a snapshot")
	}
	h.kill(late)
	h.start(late)
	h.settle()
}

// testCutOffFollower: the same, for a node that was alive and out of reach.
func testCutOffFollower(h *harness) {
	leader := h.leader()
	late := others(h, leader.number)[0]
	h.cluster.Partition(others(h, late))
	// More than may be under way to it, in one message that arrives when the cut heals.
	for range 200 {
		h.commit(late)
	}
	for _, i := range others(h, late) {
		h.snapshot(h.nodes[i])
	}
	h.cluster.Heal()
	h.settle()
	if h.nodes[late].machine.restored() == 0 {
		h.t.Error("the follower caught up without a snapshot")
	}
}

// testDamagedEntry: a node that cannot decode an entry stops before it applies it, and
// applies nothing after it.
func testDamagedEntry(h *harness) {
	h.stopsOn(raftstore.ErrEntryDamaged, func(leader *node) error {
		state, _ := leader.engine.State()
		data := raftstore.AppendEntry(nil, raftstore.Entry{Term: state.Term, Commands: [][]byte{[]byte("lost")}})
		data[len(data)-1] ^= 1
		_, _, err := leader.engine.Append(h.t.Context(), data)
		return err
	})
}

// testRefusedEntry: the same for an entry that the machine refuses.
func testRefusedEntry(h *harness) {
	h.stopsOn(errPoison, func(leader *node) error {
		_, _, err := leader.log.Propose(h.t.Context(), []byte(poison))
		return err
	})
}

// stopsOn holds that the nodes stop with an error once an entry is committed that a
// leader appends: the next leader, if that one was deposed before it could.
func (h *harness) stopsOn(want error, appends func(leader *node) error) {
	h.t.Helper()
	h.commit()
	h.steadily(func(leader *node) error {
		err := appends(leader)
		if !errors.Is(err, raftstore.ErrUnknown) && !h.deposed(err) {
			h.t.Errorf("append: %v", err)
		}
		if h.goesOn() {
			return fmt.Errorf("the nodes go on after it: %w", err)
		}
		return nil
	})
	h.stopped(want)
}

// goesOn waits until a node fails, which is false, or something is committed. Whatever
// was proposed before is then in the history of those who do not fail, or nowhere.
func (h *harness) goesOn() bool {
	h.t.Helper()
	failed := h.failures()
	for {
		n := h.leaderUnless(failed, func(n *node, _ uint64) bool { return n.engine.Err() == nil })
		if n == nil {
			return false
		}
		if o := h.propose(h.t.Context(), n); o.err == nil {
			return true
		}
	}
}

// failures receives each node that runs when it has failed.
func (h *harness) failures() <-chan *node {
	failed := make(chan *node, len(h.nodes))
	for _, n := range h.running() {
		go func() {
			select {
			case <-n.engine.Failed():
				failed <- n
			case <-h.t.Context().Done():
			}
		}()
	}
	return failed
}

// stopped waits until a majority has failed with err (the rest may never learn that the
// entry is committed) and holds that they have applied what succeeded before.
func (h *harness) stopped(want error) {
	h.t.Helper()
	deadline := time.After(patience)
	failed := h.failures()
	for range len(h.nodes)/2 + 1 {
		select {
		case n := <-failed:
			if err := n.engine.Err(); !errors.Is(err, want) {
				h.t.Errorf("node %d failed with %v", n.number, err)
			}
			if o := h.propose(h.t.Context(), n); o.err == nil {
				h.t.Errorf("node %d goes on", n.number)
			}
			h.check(n.machine.now().Commands)
		case <-deadline:
			h.t.Fatalf("nodes go on after %v", patience)
		}
	}
}

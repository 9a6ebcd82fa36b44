package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"coordd.dev/raftstore"
)

// testBarrier: a node that says it leads has all that had succeeded before.
func testBarrier(h *harness) {
	stop := h.load()
	for range h.rounds() {
		leader := h.commit()
		h.kill(leader.number)
		succeeded := h.succeeded()
		next := h.leader()
		h.has(next, succeeded)
		h.start(leader.number)
	}
	stop()
	h.settle()
}

// testTransfer: a transfer moves the leadership, and only the leader can do it.
func testTransfer(h *harness) {
	stop := h.load()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	h.steadily(func(leader *node) error {
		term := leader.reign()
		for _, n := range h.running() {
			if n == leader {
				continue
			}
			// Outside a bubble it may lead by now.
			if err := n.engine.Transfer(ctx, ""); h.bubble && !errors.Is(err, raftstore.ErrNotLeader) {
				h.t.Errorf("transfer from a follower: %v", err)
			}
		}
		if err := leader.engine.Transfer(ctx, ""); err != nil {
			return err
		}
		next := h.leaderUnless(nil, func(_ *node, t uint64) bool { return t > term })
		if next == leader {
			return fmt.Errorf("%w: the old leader leads again", raftstore.ErrNotLeader)
		}
		return nil
	})
	stop()
	h.settle()
}

// answers collects what a series of submissions was told, in the order of the answers.
type answers struct {
	mu       sync.Mutex
	outcomes []outcome
	all      sync.WaitGroup
}

func (a *answers) submit(h *harness, n *node) string {
	a.all.Add(1)
	return h.submit(n, func(o outcome) {
		a.mu.Lock()
		a.outcomes = append(a.outcomes, o)
		a.mu.Unlock()
		a.all.Done()
	})
}

// testDeposed: a leader that is cut off cannot commit, says so, and says the truth: of
// a command that it had written that it does not know, of others that they are void.
func testDeposed(h *harness) {
	leader := h.leader()
	h.must(leader)
	h.cluster.Partition(others(h, leader.number))
	var got answers
	got.submit(h, leader) // in flight at once
	for range 100 {
		got.submit(h, leader)
	}
	got.all.Wait()
	unknown := 0
	for i, o := range got.outcomes {
		switch {
		case errors.Is(o.err, raftstore.ErrUnknown) && unknown == i:
			unknown++
		case errors.Is(o.err, raftstore.ErrNotLeader) && !errors.Is(o.err, raftstore.ErrUnknown):
		default:
			h.t.Errorf("command %d: %v", i, o.err)
		}
	}
	if unknown == 0 {
		h.t.Error("nothing was unknown")
	}
	h.commit(leader.number)
	if lead, _ := leader.log.Leadership(); lead.Leading {
		h.t.Errorf("the node cut off leads: %+v", lead)
	}
	if o := h.propose(h.t.Context(), leader); !errors.Is(o.err, raftstore.ErrNotLeader) {
		h.t.Errorf("propose where there is no leader: %v", o.err)
	}
	h.cluster.Heal()
	h.settle()
}

// others are all nodes but one.
func others(h *harness, but int) []int {
	var numbers []int
	for i := range h.nodes {
		if i != but {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// testLostBatch: what one goroutine submitted to a leader that was lost is applied up to
// some command and from there on not.
func testLostBatch(h *harness) {
	for range 3 {
		leader := h.leader()
		var got answers
		var commands []string
		for i := range 300 {
			if i == 150 {
				h.cluster.Partition(others(h, leader.number))
			}
			commands = append(commands, got.submit(h, leader))
			if i%10 == 0 {
				h.pause(h.t.Context())
			}
		}
		got.all.Wait()
		h.leader(leader.number)
		h.cluster.Heal()
		h.settle()
		h.prefix(commands)
	}
}

// prefix holds that of commands submitted in order those applied are the first ones, in
// that order.
func (h *harness) prefix(commands []string) {
	h.t.Helper()
	places := make(map[string]int)
	for i, c := range h.leader().machine.now().Commands {
		places[c] = i
	}
	last, missing := -1, ""
	for _, c := range commands {
		place, applied := places[c]
		switch {
		case !applied:
			missing = c
		case missing != "":
			h.t.Errorf("%s is applied, and %s before it is not", c, missing)
		case place < last:
			h.t.Errorf("%s was applied before one that was submitted earlier", c)
		}
		if applied {
			last = place
		}
	}
}

// testFlapping: leaders come and go under load, by cuts, deaths and transfers.
func testFlapping(h *harness) {
	stop := h.load()
	for i := range 9 {
		leader := h.leader()
		switch i % 3 {
		case 0:
			h.cluster.Partition(others(h, leader.number))
			h.commit(leader.number)
			h.cluster.Heal()
		case 1:
			h.kill(leader.number)
			h.commit()
			h.start(leader.number)
		case 2:
			// It may fail; then the leader must go on.
			_ = leader.engine.Transfer(h.t.Context(), "")
			h.commit()
		}
	}
	stop()
	h.settle()
}

// testCloseLog: a log that closes answers everything, and truly.
func testCloseLog(h *harness) {
	leader := h.leader()
	h.cluster.Partition(others(h, leader.number))
	var got answers
	for range 100 {
		got.submit(h, leader)
	}
	if err := leader.log.Close(); err != nil {
		h.t.Errorf("close: %v", err)
	}
	got.all.Wait()
	for i, o := range got.outcomes {
		if !errors.Is(o.err, raftstore.ErrUnknown) && !errors.Is(o.err, raftstore.ErrClosed) {
			h.t.Errorf("command %d: %v", i, o.err)
		}
	}
	if o := h.propose(h.t.Context(), leader); !errors.Is(o.err, raftstore.ErrClosed) {
		h.t.Errorf("propose on a closed log: %v", o.err)
	}
	h.cluster.Heal()
	h.kill(leader.number)
	h.start(leader.number)
	h.settle()
}

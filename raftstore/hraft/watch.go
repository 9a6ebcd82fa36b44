package hraft

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
)

// ofLeadership picks the observations after which State may differ. They are signals
// only: raft drops one if the last is not taken yet, and what it says is read anew.
func ofLeadership(o *raft.Observation) bool {
	switch o.Data.(type) {
	case raft.RaftState, raft.LeaderObservation:
		return true
	}
	return false
}

// watch keeps State up to date, and shuts raft down when this node has failed. It is
// the only one that writes the state.
func (e *Engine) watch(ctx context.Context) {
	defer func() {
		state, _ := e.state.Get()
		e.state.Set(raftstore.State{Term: state.Term, CaughtUp: state.CaughtUp})
	}()
	for {
		e.state.Set(e.look())
		select {
		case <-e.observed:
		case <-e.moved:
		case <-e.failure.failed:
			e.cfg.Logger.Error("raft stops for good", "error", e.failure.get())
			// Heartbeats do not wait for a disk that hangs: others may lead at once.
			if err := e.guard.Close(); err != nil {
				e.cfg.Logger.Warn("close transport", "error", err)
			}
			e.drain()
			e.shutdown() // Close waits for its end
			return
		case <-ctx.Done():
			return
		}
	}
}

// look reads raft's state. Terms only rise and a node leaves one before it enters the
// next, so a role that was read between two equal terms was that term's.
func (e *Engine) look() raftstore.State {
	for {
		term := e.raft.CurrentTerm()
		leader := e.raft.State() == raft.Leader
		_, id := e.raft.LeaderWithID()
		if e.raft.CurrentTerm() != term {
			continue
		}
		state := raftstore.State{Term: term, Leader: leader, LeaderID: string(id)}
		switch {
		case leader:
			state.LeaderID = e.cfg.LocalID
		case state.LeaderID == e.cfg.LocalID:
			state.LeaderID = "" // it was
		}
		state.CaughtUp = e.catching.up(state, e.fsm.position())
		return state
	}
}

// heard is told every call of a leader, before raft is.
func (e *Engine) heard(a *raft.AppendEntriesRequest) {
	if e.catching.hear(a) {
		signal(e.moved)
	}
}

// applied is told where the Machine is, by the goroutine that drives it.
func (e *Engine) applied(_ position, size int64) {
	if !e.catching.done() {
		signal(e.moved)
	}
	if e.grown.Add(size) >= e.cfg.SnapshotBytes {
		signal(e.snapshotDue)
	}
}

// snapshots takes one whenever the log has grown by SnapshotBytes. raft itself counts
// only entries.
func (e *Engine) snapshots(ctx context.Context) {
	for {
		select {
		case <-e.snapshotDue:
			e.grown.Store(0)
			if err := e.Snapshot(ctx); err != nil {
				e.cfg.Logger.Warn("snapshot by size", "error", err)
			}
		case <-e.failure.failed:
			return
		case <-ctx.Done():
			return
		}
	}
}

// signal wakes the reader of a channel of one, if it is not to be woken already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// catching knows whether this node has applied all that was committed when it started,
// as far as anybody could know it: it has applied
//
//   - an entry of the present leader's term, so all that was committed in earlier ones
//     (a leader's first entry comes after them), and
//   - what the leader said was committed when it spoke to this node. That is in its
//     second message: it may have made up the first before this node started, but it
//     makes up none before the last is answered.
//
// It needs an entry in each term, the barrier of raftstore.Log.
type catching struct {
	mu       sync.Mutex
	caught   bool
	term     uint64 // of the leader heard
	messages int    // of that leader, up to two
	commit   uint64 // what the second said
}

// hear reports whether there is something new to look at.
func (c *catching) hear(a *raft.AppendEntriesRequest) bool {
	if a.LeaderCommitIndex == 0 {
		return false // a heartbeat says nothing
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Term > c.term {
		c.term, c.messages = a.Term, 0
	}
	if c.caught || a.Term < c.term || c.messages == 2 {
		return false
	}
	c.messages++
	c.commit = a.LeaderCommitIndex
	return c.messages == 2
}

func (c *catching) up(state raftstore.State, at position) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.caught:
	case state.Leader:
		c.caught = at.term == state.Term
	case c.messages == 2:
		c.caught = at.term >= c.term && at.index >= c.commit
	}
	return c.caught
}

func (c *catching) done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.caught
}

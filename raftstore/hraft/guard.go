package hraft

import (
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// A guard is the transport as raft sees it. It
//
//   - looks at what comes in: raft tells nobody what commit index a leader sent, only
//     how far it got itself;
//   - refuses entries that are not what their leader logged, before anything is written:
//     TCP's checksum is too weak to make a flipped bit durable on (RELIABILITY 3.11);
//   - has no pipelines: raft's wedges for good, and with it the follower, and the
//     shutdown, if a response is bad while the next request is on its way. They are
//     of no use to a log with one entry in flight, and cost it two more goroutines;
//   - answers a late or repeated InstallSnapshot itself: raft would put the old snapshot
//     in the place of all that it has, and forget entries that it had acknowledged
//     (RELIABILITY 3.1);
//   - lets entries follow a snapshot although others stand in the log behind it: raft
//     looks for the entry before them in the log only, refuses, is sent the snapshot
//     again, and so on for ever (RELIABILITY 3.3);
//   - says when a snapshot took the place of a log that went beyond it: raft clears the
//     log, still believes in its old end, and refuses all that follows until it is
//     started again (RELIABILITY 3.3 too).
//
// What raft has can only be told while it changes nothing, so raft is given one call at a
// time; it takes no more.
type guard struct {
	raft.Transport
	raft.WithPreVote
	calls   chan raft.RPC
	appends func(*raft.AppendEntriesRequest) // sees each, before raft does
	state   state
	stale   func() // raft must be started again

	once sync.Once
	stop chan struct{}
	done chan struct{}
}

// A state is what a node's raft has.
type state struct {
	logs      raft.LogStore
	snapshots raft.SnapshotStore
	applied   func() uint64 // index: what is on disk and restored, up to it
	last      func() uint64 // index of the last entry that raft believes to have
}

// has reports whether the node has an entry and all that led to it. What the log has, and
// a snapshot's index names, was committed, and is the same on all nodes.
func (s state) has(index, term uint64) bool { return s.logged(index, term) || s.applied() >= index }

func (s state) logged(index, term uint64) bool {
	var entry raft.Log
	return s.logs.GetLog(index, &entry) == nil && entry.Term == term
}

// snapshotAt reports whether the state is that of a snapshot of just that entry, which
// the log has not.
func (s state) snapshotAt(index, term uint64) bool {
	if index == 0 || s.logged(index, term) || s.applied() < index {
		return false
	}
	metas, err := s.snapshots.List()
	return err == nil && len(metas) > 0 && metas[0].Index == index && metas[0].Term == term
}

// newGuard returns a guard that passes nothing on until serve.
func newGuard(t raft.Transport, appends func(*raft.AppendEntriesRequest)) *guard {
	preVote, _ := t.(raft.WithPreVote) // Config.validate has made sure
	return &guard{
		Transport:   t,
		WithPreVote: preVote,
		calls:       make(chan raft.RPC),
		appends:     appends,
		stop:        make(chan struct{}),
		done:        make(chan struct{}),
	}
}

// serve begins, once raft has loaded what is on disk.
func (g *guard) serve(s state, stale func()) {
	g.state, g.stale = s, stale
	go g.run() // Close ends it
}

func (g *guard) run() {
	defer close(g.done)
	answer := make(chan raft.RPCResponse, 1)
	for {
		select {
		case call := <-g.Transport.Consumer():
			if !g.pass(call, answer) {
				return
			}
		case <-g.stop:
			return
		}
	}
}

// pass answers a call, or has raft answer it. It reports whether there will be more.
func (g *guard) pass(call raft.RPC, answer chan raft.RPCResponse) bool {
	asked := call
	asked.RespChan = answer
	switch c := call.Command.(type) {
	case *raft.AppendEntriesRequest:
		if err := arrived(c); err != nil {
			call.Respond(&raft.AppendEntriesResponse{RPCHeader: c.RPCHeader, Term: c.Term}, err)
			return true
		}
		g.appends(c)
		if g.state.snapshotAt(c.PrevLogEntry, c.PrevLogTerm) {
			follows := *c
			follows.PrevLogEntry, follows.PrevLogTerm = 0, 0 // raft does not look for it then
			asked.Command = &follows
		}
	case *raft.InstallSnapshotRequest:
		if g.state.has(c.LastLogIndex, c.LastLogTerm) {
			_, err := io.Copy(io.Discard, call.Reader) // the connection goes on behind it
			call.Respond(&raft.InstallSnapshotResponse{RPCHeader: c.RPCHeader, Term: c.Term, Success: err == nil}, err)
			return true
		}
	}
	select {
	case g.calls <- asked:
	case <-g.stop:
		return false
	}
	select {
	case r := <-answer:
		if c, ok := call.Command.(*raft.InstallSnapshotRequest); ok && r.Error == nil &&
			g.state.applied() == c.LastLogIndex && g.state.last() > c.LastLogIndex {
			g.stale()
		}
		call.Respond(r.Response, r.Error)
		return true
	case <-g.stop: // a raft that is shut down may answer nothing
		return false
	}
}

// arrived verifies what a leader sends. It sends it again.
func arrived(a *raft.AppendEntriesRequest) error {
	for i, l := range a.Entries {
		if err := unbroken(a.PrevLogEntry+1+uint64(i), l); err != nil {
			return fmt.Errorf("refuse what arrived: %w", err)
		}
	}
	return nil
}

// Consumer is part of raft.Transport.
func (g *guard) Consumer() <-chan raft.RPC { return g.calls }

// AppendEntriesPipeline is part of raft.Transport. raft then calls AppendEntries.
func (g *guard) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// Close is part of raft.WithClose, and comes after serve. raft calls it too.
func (g *guard) Close() error {
	g.once.Do(func() { close(g.stop) })
	err := closeTransport(g.Transport) // whose connections pass may be reading
	<-g.done
	return err
}

func closeTransport(t raft.Transport) error {
	if c, ok := t.(raft.WithClose); ok {
		return c.Close()
	}
	return nil
}

package hraft

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// A guard is the transport as raft sees it. It
//
//   - looks at what comes in: raft tells nobody what commit index a leader sent, only
//     how far it got itself;
//   - has no pipelines: raft's wedges for good, and with it the follower, and the
//     shutdown, if a response is bad while the next request is on its way. They are
//     of no use to a log with one entry in flight, and cost it two more goroutines;
//   - answers a late or repeated InstallSnapshot itself: raft would put the old snapshot
//     in the place of all that it has, and forget entries that it had acknowledged
//     (RELIABILITY 3.1). Whether the node has what is in the snapshot can only be told
//     while raft changes nothing, so raft is given one call at a time; it takes no more.
type guard struct {
	raft.Transport
	raft.WithPreVote
	calls   chan raft.RPC
	appends func(*raft.AppendEntriesRequest) // sees each, before raft does
	has     func(index, term uint64) bool    // what leads to an entry, and the entry

	once sync.Once
	stop chan struct{}
	done chan struct{}
}

func newGuard(t raft.Transport, appends func(*raft.AppendEntriesRequest), has func(index, term uint64) bool) *guard {
	preVote, _ := t.(raft.WithPreVote) // Config.validate has made sure
	g := &guard{
		Transport:   t,
		WithPreVote: preVote,
		calls:       make(chan raft.RPC),
		appends:     appends,
		has:         has,
		stop:        make(chan struct{}),
		done:        make(chan struct{}),
	}
	go g.run()
	return g
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
	switch c := call.Command.(type) {
	case *raft.AppendEntriesRequest:
		g.appends(c)
	case *raft.InstallSnapshotRequest:
		if g.has(c.LastLogIndex, c.LastLogTerm) {
			_, err := io.Copy(io.Discard, call.Reader) // the connection goes on behind it
			call.Respond(&raft.InstallSnapshotResponse{RPCHeader: c.RPCHeader, Term: c.Term, Success: err == nil}, err)
			return true
		}
	}
	asked := call
	asked.RespChan = answer
	select {
	case g.calls <- asked:
	case <-g.stop:
		return false
	}
	select {
	case r := <-answer:
		call.Respond(r.Response, r.Error)
		return true
	case <-g.stop: // a raft that is shut down may answer nothing
		return false
	}
}

// Consumer is part of raft.Transport.
func (g *guard) Consumer() <-chan raft.RPC { return g.calls }

// AppendEntriesPipeline is part of raft.Transport. raft then calls AppendEntries.
func (g *guard) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// Close is part of raft.WithClose. raft calls it too.
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

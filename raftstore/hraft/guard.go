package hraft

import (
	"sync"

	"github.com/hashicorp/raft"
)

// A guard is the transport as raft sees it. It
//
//   - looks at what comes in: raft tells nobody what commit index a leader sent, only
//     how far it got itself;
//   - has no pipelines: raft's wedges for good, and with it the follower, and the
//     shutdown, if a response is bad while the next request is on its way. They are
//     of no use to a log with one entry in flight, and cost it two more goroutines.
type guard struct {
	raft.Transport
	raft.WithPreVote
	calls   chan raft.RPC
	appends func(*raft.AppendEntriesRequest) // sees each, before raft does

	once sync.Once
	stop chan struct{}
	done chan struct{}
}

func newGuard(t raft.Transport, appends func(*raft.AppendEntriesRequest)) *guard {
	preVote, _ := t.(raft.WithPreVote) // Config.validate has made sure
	g := &guard{
		Transport:   t,
		WithPreVote: preVote,
		calls:       make(chan raft.RPC),
		appends:     appends,
		stop:        make(chan struct{}),
		done:        make(chan struct{}),
	}
	go g.run()
	return g
}

func (g *guard) run() {
	defer close(g.done)
	for {
		select {
		case call := <-g.Transport.Consumer():
			if a, ok := call.Command.(*raft.AppendEntriesRequest); ok {
				g.appends(a)
			}
			select {
			case g.calls <- call:
			case <-g.stop:
				return
			}
		case <-g.stop:
			return
		}
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
	<-g.done
	if c, ok := g.Transport.(raft.WithClose); ok {
		return c.Close()
	}
	return nil
}

package hraft

import (
	"sync"

	"github.com/hashicorp/raft"
)

// inbound is the transport with a look at what comes in: raft tells nobody what commit
// index a leader sent, only how far it got itself.
type inbound struct {
	raft.Transport
	raft.WithPreVote
	calls   chan raft.RPC
	appends func(*raft.AppendEntriesRequest) // sees each, before raft does

	once sync.Once
	stop chan struct{}
	done chan struct{}
}

func newInbound(t raft.Transport, appends func(*raft.AppendEntriesRequest)) *inbound {
	preVote, _ := t.(raft.WithPreVote) // Config.validate has made sure
	i := &inbound{
		Transport:   t,
		WithPreVote: preVote,
		calls:       make(chan raft.RPC),
		appends:     appends,
		stop:        make(chan struct{}),
		done:        make(chan struct{}),
	}
	go i.run()
	return i
}

func (i *inbound) run() {
	defer close(i.done)
	for {
		select {
		case call := <-i.Transport.Consumer():
			if a, ok := call.Command.(*raft.AppendEntriesRequest); ok {
				i.appends(a)
			}
			select {
			case i.calls <- call:
			case <-i.stop:
				return
			}
		case <-i.stop:
			return
		}
	}
}

// Consumer is part of raft.Transport.
func (i *inbound) Consumer() <-chan raft.RPC { return i.calls }

// Close is part of raft.WithClose. raft calls it too.
func (i *inbound) Close() error {
	i.once.Do(func() { close(i.stop) })
	<-i.done
	if c, ok := i.Transport.(raft.WithClose); ok {
		return c.Close()
	}
	return nil
}

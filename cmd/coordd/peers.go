package main

import (
	"context"

	"coordd.dev/internal/audit"
	"coordd.dev/internal/peer"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft"
)

// openPeerPort begins to serve the peer port; book has who is refused there.
func (n *node) openPeerPort(identity *peer.Identity, replica *server.Replica, book *audit.Log) *peer.Mux {
	return peer.NewMux(peer.MuxConfig{
		Listener: n.ports.peer,
		TLS:      n.tls.peer,
		Identity: identity,
		Address:  n.peerAddress,
		Join:     n.join,
		Self:     func() peer.Hello { return n.hello(replica) },
		Members:  n.members,
		Reached:  func() (uint64, bool) { return n.reached(replica) },
		Refused:  book.PeerRefused,
		Logger:   n.logger,
	})
}

// hello is what this node tells others of itself; the mux adds who it is.
func (n *node) hello(replica *server.Replica) peer.Hello {
	p := replica.Progress()
	h := peer.Hello{
		Name: n.cfg.Name, ClientAddress: n.clientAddress,
		Applied: p.Applied, MachineVersion: p.Version,
	}
	for _, note := range p.Notes {
		h.Notes = append(h.Notes, peer.Note(note))
	}
	if e := n.engine.Load(); e != nil {
		state, _ := e.State()
		h.LeaderID = state.LeaderID
	}
	return h
}

// ask asks who is at a peer address, for the server.
func ask(mux *peer.Mux) func(context.Context, string) (server.Peer, error) {
	return func(ctx context.Context, address string) (server.Peer, error) {
		h, err := mux.Hello(ctx, address, "")
		if err != nil {
			return server.Peer{}, err
		}
		p := server.Peer{
			NodeID: h.NodeID, ClusterID: h.ClusterID, Address: h.PeerAddress, Client: h.ClientAddress, Replaces: h.Replaces,
			Member:   h.Phase == peer.PhaseMember,
			Progress: server.Progress{Applied: h.Applied, Version: h.MachineVersion},
		}
		for _, note := range h.Notes {
			p.Notes = append(p.Notes, server.Note(note))
		}
		return p, nil
	}
}

// reached is up to where this node's data go. What others have seen of it is what it had
// applied: in earlier processes, and then it was on the disk that this one began with; or in
// this one.
func (n *node) reached(replica *server.Replica) (index uint64, known bool) {
	end := n.logEnd.Load()
	if end == nil {
		return 0, false
	}
	return max(*end, replica.Progress().Applied), true
}

// consult asks the other members, before raft starts, whether they have seen more of this
// node than it has.
func (n *node) consult(ctx context.Context, disk *hraft.Disk, mux *peer.Mux) error {
	end, err := disk.LastIndex()
	if err != nil {
		return err
	}
	n.logEnd.Store(&end)
	return mux.Consult(ctx)
}

// members is raft's configuration. Until the engine is open there is none, and raft does
// not dial.
func (n *node) members() []raftstore.Member {
	if e := n.engine.Load(); e != nil {
		return e.Members()
	}
	return nil
}

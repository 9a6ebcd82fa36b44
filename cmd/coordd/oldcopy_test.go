package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"coordd.dev/internal/peer"
	"coordd.dev/raftstore"
)

// TestOldCopyBeforeRaft: a node asks the members that it knows before its raft starts. Here the
// other one has no raft at all, and only answers; nothing else would ever tell the node.
func TestOldCopyBeforeRaft(t *testing.T) {
	cfg, ports := local(t, "n1")
	if err := ports.close(); err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other, err := peer.OpenIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	self, err := peer.OpenIdentity(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	members := []raftstore.Member{
		{ID: self.NodeID(), Address: cfg.ListenPeer, Voter: true},
		{ID: other.NodeID(), Address: lis.Addr().String(), Voter: true},
	}
	err = errors.Join(self.Adopt("c1"), self.Know(members), self.Close(),
		other.Adopt("c1"), other.Raise(map[string]uint64{self.NodeID(): 7}, members))
	if err != nil {
		t.Fatal(err)
	}
	mux := peer.NewMux(peer.MuxConfig{Listener: lis, Identity: other, Address: lis.Addr().String(),
		Self: func() peer.Hello { return peer.Hello{} }})
	defer func() {
		if err := errors.Join(mux.Close(), other.Close()); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = run(ctx, cfg, io.Discard, io.Discard)
	if !errors.Is(err, peer.ErrOldCopy) || !strings.Contains(err.Error(), "ends at entry 0") || !strings.Contains(err.Error(), "with entry 7") {
		t.Errorf("ended with %v", err)
	}
}

package peer

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
)

// A RaftLayer carries raft's connections over the peer port. It is the raft.StreamLayer
// of a NetworkTransport.
type RaftLayer struct{ *lane }

var _ raft.StreamLayer = (*RaftLayer)(nil)

// Dial connects to the node that stands at the address in raft's configuration, and
// to no other (invariant 3).
func (l *RaftLayer) Dial(target raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	members := l.mux.cfg.Members()
	i := slices.IndexFunc(members, func(m raftstore.Member) bool { return m.Address == string(target) })
	if i < 0 {
		return nil, fmt.Errorf("dial peer %s: %w", target, ErrNotMember)
	}
	select {
	case <-l.stop:
		return nil, fmt.Errorf("dial peer %s: %w", target, net.ErrClosed)
	default:
	}
	ctx, cancel := dialContext(timeout)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-l.stop: // raft, stopping, waits for its dials
			cancel()
		case <-ctx.Done():
		}
	})
	defer watch.Wait()
	defer cancel()
	return l.mux.dial(ctx, purposeRaft, string(target), members[i].ID)
}

func dialContext(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), timeout)
}

package peer

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A RaftLayer carries raft's connections over the peer port. It is the raft.StreamLayer
// of a NetworkTransport.
type RaftLayer struct {
	mux   *Mux
	conns chan net.Conn
	once  sync.Once
	stop  chan struct{}
}

var _ raft.StreamLayer = (*RaftLayer)(nil)

func newRaftLayer(m *Mux) *RaftLayer {
	return &RaftLayer{mux: m, conns: make(chan net.Conn), stop: make(chan struct{})}
}

// Accept returns the next inbound connection for raft.
func (l *RaftLayer) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return inbound{conn, l.mux}, nil
	case <-l.stop:
	case <-l.mux.stop:
	}
	return nil, fmt.Errorf("accept raft connection: %w", net.ErrClosed)
}

// deliver waits for an Accept, so that a peer that dials while raft starts here is not
// turned away.
func (l *RaftLayer) deliver(conn net.Conn, patience time.Duration) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case l.conns <- conn:
		return true
	case <-l.stop:
	case <-l.mux.stop:
	case <-t.C:
	}
	return false
}

// Close ends Accept, and Dial. The connections accepted end with the mux at the latest.
func (l *RaftLayer) Close() error {
	l.once.Do(func() { close(l.stop) })
	return nil
}

// Addr is where others reach this node, which is what raft tells them.
func (l *RaftLayer) Addr() net.Addr { return address(l.mux.cfg.Address) }

// Dial connects to the node that stands at the address in raft's configuration, and
// to no other (invariant 3).
func (l *RaftLayer) Dial(target raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, ok := l.mux.cfg.Member(string(target))
	if !ok {
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
	return l.mux.dial(ctx, purposeRaft, string(target), id)
}

func dialContext(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), timeout)
}

// An address is a host and port as given, which need not be one that resolves here.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// An inbound connection is counted by the mux until raft closes it.
type inbound struct {
	net.Conn
	mux *Mux
}

// Close closes the connection and gives its place back.
func (c inbound) Close() error { return c.mux.drop(c.Conn) }

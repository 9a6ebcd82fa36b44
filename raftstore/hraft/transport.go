package hraft

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// rpcTimeout bounds a call of a peer that does not answer: it must be longer than
	// a write of a slow disk, and is how long a node keeps trying a connection whose
	// other end is gone.
	rpcTimeout = 3 * time.Second

	// poolSize is the connections kept to a peer: heartbeats, entries, votes.
	poolSize = 3
)

// NewTransport returns raft's transport over a stream layer, which it takes over: the
// connections it made and accepted are closed with it. logger may be nil.
func NewTransport(stream raft.StreamLayer, logger *slog.Logger) *raft.NetworkTransport {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:                  &tracked{StreamLayer: stream, conns: make(map[net.Conn]struct{})},
		Logger:                  newHCLog(logger),
		MaxPool:                 poolSize,
		Timeout:                 rpcTimeout,
		MsgpackUseNewTimeFormat: true,
	})
}

// tracked closes its connections when it is closed. raft closes only those that are in
// its pool, and waits for the others until they time out.
type tracked struct {
	raft.StreamLayer

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// Accept is part of net.Listener.
func (t *tracked) Accept() (net.Conn, error) { return t.track(t.StreamLayer.Accept()) }

// Dial is part of raft.StreamLayer.
func (t *tracked) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return t.track(t.StreamLayer.Dial(to, timeout))
}

// Close is part of net.Listener.
func (t *tracked) Close() error {
	err := t.StreamLayer.Close()
	t.mu.Lock()
	t.closed = true
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for c := range conns {
		_ = c.Close() // nothing more is wanted of it
	}
	return err
}

func (t *tracked) track(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err // raft's: it logs it
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = c.Close()
		return nil, fmt.Errorf("transport: %w", net.ErrClosed)
	}
	t.conns[c] = struct{}{}
	return &trackedConn{Conn: c, in: t}, nil
}

type trackedConn struct {
	net.Conn
	in *tracked
}

// Close is part of net.Conn.
func (c *trackedConn) Close() error {
	c.in.mu.Lock()
	delete(c.in.conns, c.Conn)
	c.in.mu.Unlock()
	return c.Conn.Close()
}

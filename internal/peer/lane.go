package peer

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// A lane is the inbound connections of one purpose, as a net.Listener.
type lane struct {
	mux   *Mux
	conns chan net.Conn
	once  sync.Once
	stop  chan struct{}
}

func newLane(m *Mux) *lane {
	return &lane{mux: m, conns: make(chan net.Conn), stop: make(chan struct{})}
}

// Accept returns the next inbound connection.
func (l *lane) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return inbound{conn, l.mux}, nil
	case <-l.stop:
	case <-l.mux.stop:
	}
	return nil, fmt.Errorf("accept peer's connection: %w", net.ErrClosed)
}

// deliver waits for an Accept, so that a peer that dials while its lane is not served yet
// is not turned away.
func (l *lane) deliver(conn net.Conn, patience time.Duration) bool {
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

// Close ends Accept. The connections accepted end with the mux at the latest.
func (l *lane) Close() error {
	l.once.Do(func() { close(l.stop) })
	return nil
}

// Addr is where others reach this node.
func (l *lane) Addr() net.Addr { return address(l.mux.cfg.Address) }

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

package peer

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A network is in memory, so that it runs in a synctest bubble.
type network struct {
	lag  func() time.Duration        // before a connection is made; nil: none
	pipe func() (near, far net.Conn) // default net.Pipe

	mu        sync.Mutex
	listeners map[string]*memListener
}

func newNetwork() *network { return &network{pipe: net.Pipe, listeners: map[string]*memListener{}} }

func (n *network) listen(t *testing.T, at string) net.Listener {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		t.Fatalf("address %s is in use", at)
	}
	l := &memListener{network: n, at: at, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[at] = l
	return l
}

func (n *network) dial(ctx context.Context, at string) (net.Conn, error) {
	if n.lag != nil {
		time.Sleep(n.lag()) // in a bubble
	}
	n.mu.Lock()
	l := n.listeners[at]
	n.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	near, far := n.pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memListener struct {
	network *network
	at      string
	conns   chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.at)
		l.network.mu.Unlock()
		close(l.done)
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return address(l.at) }

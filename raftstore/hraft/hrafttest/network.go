package hrafttest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// A Network connects hosts. Make it with NewNetwork.
type Network struct {
	mu        sync.Mutex
	sides     map[string]int // of the partition; a host that is in none is in side 0
	listeners map[string]*listener
	conns     map[*conn]struct{} // one end of each, the dialler's
	changed   chan struct{}      // closed when sides change
}

// NewNetwork returns a network in which everybody reaches everybody.
func NewNetwork() *Network {
	return &Network{
		sides:     make(map[string]int),
		listeners: make(map[string]*listener),
		conns:     make(map[*conn]struct{}),
		changed:   make(chan struct{}),
	}
}

// host is the part of an address that faults go by.
func host(address string) string {
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		return address[:i]
	}
	return address
}

// Partition cuts the hosts into sides that cannot reach each other; the hosts in none
// are a side together. It replaces an earlier Partition.
func (n *Network) Partition(sides ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.sides)
	for i, hosts := range sides {
		for _, h := range hosts {
			n.sides[h] = i + 1
		}
	}
	n.change()
}

// Isolate cuts one host off from all others, beside what is cut already.
func (n *Network) Isolate(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	side := 1
	for _, s := range n.sides {
		side = max(side, s+1)
	}
	n.sides[host] = side
	n.change()
}

// Heal mends what Partition and Isolate did.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.sides)
	n.change()
}

func (n *Network) change() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Kill ends all listeners and connections of a host, as the death of its process does.
func (n *Network) Kill(name string) {
	n.mu.Lock()
	var dead []*conn
	for c := range n.conns {
		if host(c.local) == name || host(c.remote) == name {
			dead = append(dead, c)
		}
	}
	var deaf []*listener
	for address, l := range n.listeners {
		if host(address) == name {
			deaf = append(deaf, l)
			delete(n.listeners, address)
		}
	}
	n.mu.Unlock()
	for _, l := range deaf {
		_ = l.Close() // never fails
	}
	for _, c := range dead {
		for _, p := range []*pipe{c.in, c.out} {
			if host(p.from) == name {
				p.closeWriter(syscall.ECONNRESET)
			} else {
				p.closeReader()
			}
		}
	}
}

// Listen listens at an address, "host:port".
func (n *Network) Listen(address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[address] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Addr: addr(address), Err: syscall.EADDRINUSE}
	}
	l := &listener{network: n, address: address, incoming: make(chan *conn, 16), closed: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// Dial connects a host to an address.
func (n *Network) Dial(ctx context.Context, from, to string) (net.Conn, error) {
	c, err := n.dial(ctx, from, to)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "mem", Source: addr(from), Addr: addr(to), Err: err}
	}
	return c, nil
}

func (n *Network) dial(ctx context.Context, from, to string) (net.Conn, error) {
	for {
		n.mu.Lock()
		l, reached, changed := n.listeners[to], n.reaches(from, to), n.changed
		n.mu.Unlock()
		switch {
		case !reached:
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case l == nil:
			return nil, syscall.ECONNREFUSED
		}
		near, far := n.pair(from, to)
		select {
		case l.incoming <- far:
			return near, nil
		case <-l.closed:
			_ = near.Close()
			return nil, syscall.ECONNREFUSED
		case <-ctx.Done():
			_ = near.Close()
			return nil, ctx.Err()
		}
	}
}

// pair makes both ends of a connection.
func (n *Network) pair(from, to string) (near, far *conn) {
	there, back := newPipe(n, from, to), newPipe(n, to, from)
	near = &conn{network: n, local: from, remote: to, in: back, out: there}
	far = &conn{network: n, local: to, remote: from, in: there, out: back}
	near.key, far.key = near, near
	n.mu.Lock()
	n.conns[near] = struct{}{}
	n.mu.Unlock()
	return near, far
}

// reaches is called with mu held.
func (n *Network) reaches(from, to string) bool {
	return n.sides[host(from)] == n.sides[host(to)]
}

// link tells whether bytes flow, and when to ask again.
func (n *Network) link(from, to string) (up bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reaches(from, to), n.changed
}

// Stream listens at an address and dials from it: what raft's transport is built on.
func (n *Network) Stream(address string) (raft.StreamLayer, error) {
	l, err := n.Listen(address)
	if err != nil {
		return nil, err
	}
	return stream{l, n}, nil
}

type stream struct {
	net.Listener
	network *Network
}

// Dial is part of raft.StreamLayer.
func (s stream) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.network.Dial(ctx, s.Addr().String(), string(to))
}

type listener struct {
	network  *Network
	address  string
	incoming chan *conn
	once     sync.Once
	closed   chan struct{}
}

// Accept is part of net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, fmt.Errorf("accept: %w", net.ErrClosed)
	default:
	}
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, fmt.Errorf("accept: %w", net.ErrClosed)
	}
}

// Close is part of net.Listener. Connections that were not accepted are reset.
func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		if l.network.listeners[l.address] == l {
			delete(l.network.listeners, l.address)
		}
		l.network.mu.Unlock()
		for {
			select {
			case c := <-l.incoming:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

// Addr is part of net.Listener.
func (l *listener) Addr() net.Addr { return addr(l.address) }

type addr string

// Network is part of net.Addr.
func (addr) Network() string { return "mem" }

// String is part of net.Addr.
func (a addr) String() string { return string(a) }

package coordtest

import (
	"context"
	"io"
	"net"
	"sync"
)

// Target listens on loopback, for coordctl and other programs. Not inside a bubble.
// What connects there is connected to the leader.
func (c *Cluster) Target() string {
	c.t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatalf("coordtest: target: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &proxy{cluster: c, lis: lis, stop: stop, conns: make(map[net.Conn]struct{})}
	p.running.Go(func() { p.accept(ctx) })
	c.t.Cleanup(p.close)
	return lis.Addr().String()
}

// A proxy carries bytes between loopback and the network in memory.
type proxy struct {
	cluster *Cluster
	lis     net.Listener
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{} // both ends of each
}

func (p *proxy) accept(ctx context.Context) {
	for {
		conn, err := p.lis.Accept()
		if err != nil {
			return // closed
		}
		if p.add(conn) {
			p.running.Go(func() { p.carry(ctx, conn) })
		}
	}
}

// carry connects conn to the leader, until one of them closes.
func (p *proxy) carry(ctx context.Context, conn net.Conn) {
	defer p.remove(conn)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	leader := p.cluster.leader(ctx)
	if leader == nil {
		return
	}
	node, err := p.cluster.clients.Dial(ctx, "target", leader.name+clientPort)
	if err != nil || !p.add(node) {
		return
	}
	defer p.remove(node)
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(node, conn) // which error ended it does not matter
		_ = node.Close()
	})
	_, _ = io.Copy(conn, node)
	_ = conn.Close()
	up.Wait()
}

// add has close close conn. It is false, and conn closed, if that has begun.
func (p *proxy) add(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *proxy) remove(conn net.Conn) {
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
	_ = conn.Close()
}

func (p *proxy) close() {
	p.stop()
	_ = p.lis.Close()
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

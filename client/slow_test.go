package client_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A dam holds back what the node says on the connections that there are when it closes;
// those that are made later are let through.
type dam struct {
	mu    sync.Mutex
	conns []*dammed
}

type dammed struct {
	net.Conn
	dam  *dam
	open chan struct{} // closed when what comes may pass; nil if it may
	gone chan struct{}
	once sync.Once
}

func (d *dam) wrap(conn net.Conn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &dammed{Conn: conn, dam: d, gone: make(chan struct{})}
	d.conns = append(d.conns, c)
	return c
}

func (d *dam) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.open = make(chan struct{})
	}
}

func (d *dam) lift() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		if c.open != nil {
			close(c.open)
			c.open = nil
		}
	}
}

func (c *dammed) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.dam.mu.Lock()
	open := c.open
	c.dam.mu.Unlock()
	if open == nil {
		return n, err
	}
	select {
	case <-open:
		return n, err
	case <-c.gone:
		return 0, net.ErrClosed
	}
}

func (c *dammed) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}

// A node that is slow keeps its connection, although another one to it would be answered
// at once: all sessions would have to come again.
func TestSlowNodeKeepsItsLink(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		var d dam
		c := cluster.Dial(client.WrapConns(d.wrap), client.WithTTL(time.Hour))
		must(c.Mutex("before").LockContext(t.Context()))(t)
		link := c.Link()
		synctest.Wait()
		d.close()
		time.AfterFunc(3*time.Second, d.lift)
		start := time.Now()
		must(c.Mutex("slow").LockContext(t.Context()))(t)
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("locked after %v: not over the connection that was held back", took)
		}
		if c.Link() != link {
			t.Error("the link is another")
		}
	})
}

// A connection that says nothing for good is given up for another one.
func TestSilentLinkIsReplaced(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		var d dam
		c := cluster.Dial(client.WrapConns(d.wrap), client.WithTTL(time.Hour))
		before := c.Session().ID
		link := c.Link()
		synctest.Wait()
		d.close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		must(c.Mutex("m").LockContext(ctx))(t)
		if c.Link() == link {
			t.Error("the link is the silent one")
		}
		if c.Session().ID != before {
			t.Error("the session is another")
		}
	})
}

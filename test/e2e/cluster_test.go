package e2e

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"coordd.dev/test/daemons"
)

// Three nodes with the same --join form a cluster in whatever order they start, and each
// may be killed and started again.
func TestFormationInAnyOrder(t *testing.T) {
	ctx := bounded(t)
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		c, err := daemons.New(coordd(), t.TempDir(), 3)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Stop() }) // of what still runs after a failure
		for i, n := range order {
			if err := c.Nodes()[n].Start(); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				awaitAdmin(ctx, t, c.Nodes()[n])
				if c.Nodes()[n].Ready(ctx) == nil {
					t.Error("one of three is ready alone")
				}
			}
		}
		for _, n := range c.Nodes() {
			if err := n.AwaitReady(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range c.Nodes() {
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
			if err := n.AwaitReady(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// awaitAdmin waits until the node answers on its admin port at all.
func awaitAdmin(ctx context.Context, t *testing.T, n *daemons.Node) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := n.Ready(ctx); err == nil || strings.Contains(err.Error(), "503 Service") {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("no answer on the admin port")
		}
	}
}

// Garbage on every port of every node, and what half speaks a protocol, harms nothing.
func TestGarbageOnEveryPort(t *testing.T) {
	ctx := bounded(t)
	c := cluster(ctx, t)
	noise := make([]byte, 64<<10)
	rand.Read(noise) // never fails
	for _, n := range c.Nodes() {
		for _, addr := range []string{n.Client, n.Peer, n.Admin} {
			throw(ctx, t, addr, noise)
			throw(ctx, t, addr, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			throw(ctx, t, addr, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff"))
			throw(ctx, t, addr, nil)
		}
	}
	run := exec.CommandContext(ctx, coordctl(), "--endpoints", c.Target(), "--timeout", "60", "lock", "after", "--", "true")
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("lock after the garbage: %v\n%s", err, out)
	}
	for _, n := range c.Nodes() {
		if err := n.AwaitReady(ctx); err != nil {
			t.Error(err)
		}
	}
}

// throw writes bytes to a port and reads until the other side has had enough, or says
// nothing for long.
func throw(ctx context.Context, t *testing.T, addr string, b []byte) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatalf("%s: %v", addr, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := conn.Write(b); err != nil {
		return // it was thrown out
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, conn)
}

package server_test

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"coordd.dev/internal/server"
)

// A fakeListener accepts the connections that it is given.
type fakeListener struct{ conns chan net.Conn }

func (l fakeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l fakeListener) Close() error   { close(l.conns); return nil }
func (l fakeListener) Addr() net.Addr { return &net.TCPAddr{} }

// A fakeConn comes from an address.
type fakeConn struct {
	net.Conn
	from net.Addr
}

func (c fakeConn) RemoteAddr() net.Addr { return c.from }

// TestBounded: of one host, and in all, only so many are let in; each that ends makes room, once.
func TestBounded(t *testing.T) {
	var log strings.Builder
	lis := fakeListener{make(chan net.Conn)}
	bounded := server.Bounded(lis, server.Bounds{All: 4, PerAddress: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	accepted := make(chan net.Conn, 1)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := bounded.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	})
	var reading sync.WaitGroup // of the far ends, until they are closed
	t.Cleanup(reading.Wait)
	// dial says whether a connection from the host is let in.
	dial := func(host string) net.Conn {
		t.Helper()
		near, far := net.Pipe()
		t.Cleanup(func() { _ = near.Close() })
		lis.conns <- fakeConn{far, &net.TCPAddr{IP: net.ParseIP(host), Port: 1}}
		hungUp := make(chan struct{})
		reading.Go(func() {
			_, _ = near.Read(make([]byte, 1))
			close(hungUp)
		})
		select {
		case c := <-accepted:
			return c
		case <-hungUp:
			return nil
		}
	}
	in := func(host string) net.Conn {
		t.Helper()
		c := dial(host)
		if c == nil {
			t.Fatalf("%s was hung up on", host)
		}
		return c
	}
	out := func(host string) {
		t.Helper()
		if c := dial(host); c != nil {
			t.Fatalf("%s was let in", host)
		}
	}
	first := in("10.0.0.1")
	in("10.0.0.1")
	out("10.0.0.1") // its third
	in("10.0.0.2")
	loop := in("127.0.0.1")
	out("10.0.0.3") // the fifth
	for range 2 {
		if err := first.Close(); err != nil && err != io.ErrClosedPipe { //nolint:errorlint // a pipe's
			t.Fatal(err)
		}
	}
	in("10.0.0.1")
	out("10.0.0.3") // closing twice makes room for one
	_ = loop.Close()
	in("127.0.0.1")
	out("127.0.0.1") // loopback counts too
	_ = lis.Close()
	accepting.Wait()
	if !strings.Contains(log.String(), "too many connections") || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("log:\n%s", log.String())
	}
}

package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A drip lets in 16 bytes in 2 ms, or nothing, not even its end, while muted is set.
type drip struct {
	net.Conn
	muted *atomic.Bool
	gone  chan struct{}
	close func()
}

func newDrip(conn net.Conn, muted *atomic.Bool) *drip {
	gone := make(chan struct{})
	return &drip{Conn: conn, muted: muted, gone: gone, close: sync.OnceFunc(func() { close(gone) })}
}

func (d *drip) Read(b []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	n, err := d.Conn.Read(b[:min(16, len(b))])
	if d.muted.Load() {
		<-d.gone
		return 0, net.ErrClosed
	}
	return n, err
}

func (d *drip) Close() error {
	d.close()
	return d.Conn.Close()
}

// A call whose answer was lost with its connection is asked anew, when the answer to
// that is that the cluster no longer knows; nothing else need happen for it.
func TestAnswerLostWithItsConnection(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		var muted atomic.Bool
		var mu sync.Mutex
		var conns []*drip
		c := cluster.Dial(client.WrapConns(func(conn net.Conn) net.Conn {
			d := newDrip(conn, &muted)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, d)
			return d
		}))
		must(c.Mutex("m").LockContext(t.Context()))(t)
		muted.Store(true)
		time.AfterFunc(100*time.Millisecond, func() { // the cluster has answered
			muted.Store(false)
			mu.Lock()
			defer mu.Unlock()
			for _, d := range conns {
				_ = d.Close()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d := must(c.Describe(ctx, client.KindLock, "m"))(t)
		if len(d.Holders) != 1 {
			t.Errorf("%+v", d)
		}
	})
}

// Text that cannot be sent is refused where it is given, and harms nobody else.
func TestTextIsUTF8(t *testing.T) {
	const bad = "caf\xe9"
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		before := c.Session().ID
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for what, f := range map[string]func() error{
			"note": func() error {
				_, err := c.Mutex("m", client.WithNote(bad)).LockContext(ctx)
				return err
			},
			"name of the session": func() error {
				_, err := c.NewSession(ctx, client.WithName(bad))
				return err
			},
			"key": func() error {
				_, err := c.NewSession(ctx, client.WithMetadata(bad, "v"))
				return err
			},
			"value": func() error {
				_, err := c.NewSession(ctx, client.WithMetadata("k", bad))
				return err
			},
			"name": func() error {
				_, err := c.Mutex(bad).LockContext(ctx)
				return err
			},
			"name to describe": func() error {
				_, err := c.Describe(ctx, client.KindLock, bad)
				return err
			},
		} {
			err := f()
			if !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "UTF-8") {
				t.Errorf("%s: %v", what, err)
			}
		}
		must(c.Mutex("m").LockContext(ctx))(t)
		if c.Session().ID != before {
			t.Error("the session is another")
		}
	})
}

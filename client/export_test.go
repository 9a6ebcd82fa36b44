package client

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

// Link is c's connection to its node, nil while it has none.
func (c *Client) Link() *grpc.ClientConn {
	cn := c.courier.conn
	cn.mu.Lock()
	defer cn.mu.Unlock()
	if cn.current == nil {
		return nil
	}
	return cn.current.cc
}

// Suspend has c's process wake up now, d after it fell asleep: the wall clock went on, the
// monotonic clock, and with it every timer, stood still.
func (c *Client) Suspend(d time.Duration) {
	clock := c.courier.clock
	clock.mu.Lock()
	defer clock.mu.Unlock()
	s := *clock.skew.Load()
	s.counted += d
	clock.skew.Store(&s)
}

// RaceLost asks for Lost of a hold that is lost at the same time.
func RaceLost() <-chan struct{} {
	k := &courier{clock: newClock()}
	h := newHold(k, &want{}, origin{})
	h.grant(newLive(1, 0), 0, 0)
	var both sync.WaitGroup
	both.Go(func() { h.lose(ReasonExpired, "") })
	lost := h.Lost()
	both.Wait()
	return lost
}

// WrapConns has every connection pass through wrap.
func WrapConns(wrap func(net.Conn) net.Conn) Option {
	return option(func(c *config) {
		dial := c.network.dial
		c.network.dial = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return wrap(conn), nil
		}
	})
}

// Hear is what an observer tells of responses.
func Hear(responses ...*coordv1.WatchResponse) (told []Leader) {
	o := observer{yield: func(l Leader, _ error) bool {
		told = append(told, l)
		return true
	}}
	for _, r := range responses {
		o.hear(r) //nolint:errcheck // it has none
		o.after = max(o.after, r.GetRevision())
	}
	return told
}

package client_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// refuse is a network in which nobody listens, but for addresses that do not answer.
func refuse(ctx context.Context, addr string) (net.Conn, error) {
	switch {
	case strings.HasPrefix(addr, "127.0.0.9:"):
		<-ctx.Done()
		return nil, ctx.Err()
	case strings.HasPrefix(addr, "127.0.0.8:"): // answers, but not gRPC
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			_, _ = there.Read(make([]byte, 1))
			_, _ = there.Write([]byte("SSH-2.0-OpenSSH_9.6\r\n"))
		}()
		return here, nil
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

func TestDialNobody(t *testing.T) {
	t.Setenv("COORD_ENDPOINTS", "")
	for _, tc := range []struct {
		target, want string
		limit        time.Duration // of ctx; 0: none
		took         time.Duration
	}{
		{"", "no coordd at 127.0.0.1:7600: connection refused; start one: coordd dev", 0, 10 * time.Second},
		{"localhost:1", "no coordd at localhost:1: connection refused; start one: coordd dev", time.Second, time.Second},
		{
			"127.0.0.1:1, [::1]:2,127.0.0.9:3",
			"no coordd at 127.0.0.1:1: connection refused, nor at [::1]:2: connection refused, nor at 127.0.0.9:3: no answer; start one: coordd dev",
			5 * time.Second, 5 * time.Second,
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if tc.limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.limit)
				defer cancel()
			}
			start := time.Now()
			_, err := client.Dial(ctx, tc.target, client.WithDialer(refuse))
			wantErr(t, err, client.ErrUnavailable, context.DeadlineExceeded)
			if got := err.Error(); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			// Close is given a second to say farewell, with nobody there.
			if d := time.Since(start); d != tc.took {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestDialGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := client.Dial(ctx, "127.0.0.8:22", client.WithDialer(refuse))
		wantErr(t, err, client.ErrUnavailable)
		if got := err.Error(); got != "no coordd at 127.0.0.8:22: it answers, but is no coordd; start one: coordd dev" {
			t.Error(got)
		}
	})
}

func TestDialCancelled(t *testing.T) {
	t.Setenv("COORD_ENDPOINTS", "")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := client.Dial(ctx, "", client.WithDialer(refuse))
		wantErr(t, err, client.ErrUnavailable, context.Canceled)
		if got := err.Error(); got != "dial: context canceled: no coordd at 127.0.0.1:7600: connection refused; start one: coordd dev" {
			t.Error(got)
		}
	})
}

func TestDialInvalid(t *testing.T) {
	for _, tc := range []struct {
		target string
		opts   []client.Option
		want   []string
	}{
		{"nowhere", nil, []string{`endpoint "nowhere" is not host:port`}},
		{"127.0.0.1:1,,:7600", nil, []string{`endpoint "" is not host:port`, `endpoint ":7600" is not host:port`}},
		{"10.0.0.1:7600", nil, []string{"10.0.0.1:7600 is not on loopback: it needs WithTLS, or WithInsecure for plain text"}},
		{strings.Repeat("127.0.0.1:1,", 3) + "db.example:7600", nil, []string{"db.example:7600 is not on loopback"}},
		{"", []client.Option{client.WithTTL(0)}, []string{"TTL 0s is not within 500ms to 24h0m0s"}},
		{"", []client.Option{client.WithTTL(-time.Second), client.WithEndEarly(-1)}, []string{"TTL -1s", "ending holds -1ns early"}},
		{"", []client.Option{client.WithTTL(3 * time.Second), client.WithEndEarly(2 * time.Second)}, []string{"ending holds 2s early: at most a third of the TTL, 1s"}},
		{"", []client.Option{client.WithMetadata("k", strings.Repeat("v", 5000))}, []string{"more than 4096"}},
		{"", []client.Option{client.WithLogger(nil), client.WithDialer(nil)}, []string{"nil logger", "nil dialer"}},
	} {
		_, err := client.Dial(t.Context(), tc.target, tc.opts...)
		wantErr(t, err, client.ErrInvalid)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v does not say %q", tc.target, err, want)
			}
		}
	}
}

// Any endpoint will do, also one that is not the leader, and one that is dead besides.
func TestDialFindsTheLeader(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		dead := cluster.KillLeader()
		cluster.Leader()
		c := cluster.Dial()
		must(c.Mutex("m").LockContext(t.Context()))(t)
		dead.Restart()
		d := must(c.Describe(t.Context(), client.KindLock, "m"))(t)
		if d.Holders[0].Session != c.Session().ID || d.Holders[0].Metadata["pid"] == "" {
			t.Errorf("%+v", d)
		}
	})
}

// Sessions differ in what they are asked to.
func TestNewSession(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial(client.WithTTL(20*time.Second), client.WithMetadata("zone", "a"))
		s := must(c.NewSession(t.Context(), client.WithTTL(time.Second), client.WithName("failover")))(t)
		defer s.Close()
		if a, b := c.Session(), s.Session(); a.ID == b.ID || a.TTL != 20*time.Second || b.TTL != time.Second ||
			time.Until(a.Deadline) != 18*time.Second || time.Until(b.Deadline) != 900*time.Millisecond {
			t.Errorf("%+v %+v", a, b)
		}
		must(s.Mutex("m", client.WithNote("10.0.0.7")).LockContext(t.Context()))(t)
		d := must(c.Describe(t.Context(), client.KindLock, "m"))(t)
		if h := d.Holders[0]; h.Name != "failover" || h.Note != "10.0.0.7" || h.Metadata["zone"] != "a" {
			t.Errorf("%+v", h)
		}
		_, err := c.NewSession(t.Context(), client.WithTTL(0))
		wantErr(t, err, client.ErrInvalid)
	})
}

// Sessions of one connection that are opened at the same time are kept apart.
func TestNewSessionsAtOnce(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s, err := c.NewSession(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				_ = s.Close()
			})
		}
		wg.Wait()
	})
}

// An answer to Attach that comes after the lease it opens is no session, and does not
// keep the next try waiting.
func TestSessionOverBeforeItIsKnown(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		const ttl = 3 * time.Second
		c := cluster.Dial(client.WithTTL(time.Hour))
		cluster.Pause(c)
		late := ttl - 150*time.Millisecond // after the deadline, before the client gives the answer up
		time.AfterFunc(late, func() { cluster.Resume(c) })
		start := time.Now()
		s := must(c.NewSession(t.Context(), client.WithTTL(ttl)))(t)
		defer s.Close()
		if d := time.Since(start); d != late {
			t.Errorf("it took %v, not %v", d, late)
		}
		if s.Session().ID == "" || s.Session().Context().Err() != nil {
			t.Errorf("session %q: %v", s.Session().ID, s.Session().Context().Err())
		}
		must(s.Mutex("m").TryLockContext(t.Context()))(t)
	})
}

// A session shares the connection of its client: what is about that is not an option of
// its own, and a client that is closed has none to share.
func TestNewSessionSharesTheConnection(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		for _, opt := range []client.Option{client.WithTLS(&tls.Config{}), client.WithInsecure(), client.WithDialer(refuse)} {
			s, err := c.NewSession(t.Context(), opt)
			wantErr(t, err, client.ErrInvalid)
			if err == nil {
				_ = s.Close()
			}
		}
		s := must(c.NewSession(t.Context()))(t)
		defer s.Close()
		_ = c.Close()
		_, err := c.NewSession(t.Context())
		wantErr(t, err, client.ErrClientClosed)
		must(s.Mutex("m").LockContext(t.Context()))(t)
	})
}

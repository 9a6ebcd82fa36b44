package client_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// revoke takes c's session back, as coordctl does, on the connection of another client.
func revoke(t *testing.T, by *client.Client, id client.SessionID, now bool) {
	t.Helper()
	n, err := strconv.ParseUint(string(id), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	_, err = coordv1.NewSessionServiceClient(by.Link()).RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: n, Now: now})
	if err != nil {
		t.Fatal(err)
	}
}

// An operator takes a session back: its holds are lost at once to who has them, the
// Unlock is the answer that the operator waits for, and then all goes on in another
// session.
func TestRevoke(t *testing.T) {
	for _, now := range []bool{false, true} {
		t.Run(map[bool]string{false: "asking", true: "now"}[now], func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
				a, b := cluster.Dial(), cluster.Dial()
				before := a.Session()
				h := must(a.Mutex("m").LockContext(t.Context()))(t)
				revoke(t, b, before.ID, now)
				<-h.Lost()
				lost, _ := errors.AsType[*client.LostError](h.Err())
				if lost == nil || lost.Reason != client.ReasonRevoked {
					t.Fatalf("the hold: %v", h.Err())
				}
				_, err := b.Mutex("m").TryLockContext(t.Context())
				if busy := errors.Is(err, client.ErrBusy); busy == now {
					t.Errorf("before the Unlock another gets %v", err)
				}
				wantErr(t, h.Unlock(t.Context()), client.ErrLost)
				<-before.Context().Done() // at the next renewal at the latest
				again := must(a.Mutex("n").LockContext(t.Context()))(t)
				if a.Session().ID == before.ID || again.Err() != nil {
					t.Errorf("session %v after %v, hold %v", a.Session().ID, before.ID, again.Err())
				}
			})
		})
	}
}

// A session in which nothing is held ends for a reason too.
func TestWhyAnIdleSessionEnds(t *testing.T) {
	why := func(t *testing.T, s client.Session) string {
		t.Helper()
		<-s.Context().Done()
		lost, _ := errors.AsType[*client.LostError](context.Cause(s.Context()))
		if lost == nil {
			t.Fatal(context.Cause(s.Context()))
		}
		return strings.TrimSpace(lost.Reason.String() + " " + lost.Detail)
	}
	for _, now := range []bool{false, true} {
		inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
			s := cluster.Dial().Session() // before it has another
			revoke(t, cluster.Dial(), s.ID, now)
			if got := why(t, s); got != "revoked by an operator" {
				t.Errorf("now %v: %s", now, got)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		n := &scripted{stream: func(_ *coordv1.Attach, s coordv1.SessionService_AttachServer) error {
			<-s.Context().Done()
			return nil
		}}
		if got := why(t, n.dial(t).Session()); got != "lease expired the cluster has ended the session" {
			t.Error(got)
		}
	})
}

// logBuffer may be written by several goroutines; written has a token after a write.
type logBuffer struct {
	written chan struct{}
	mu      sync.Mutex
	buf     bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		select {
		case b.written <- struct{}{}:
		default:
		}
	}()
	return b.buf.Write(p)
}

// Sync-shaped calls of a closed client wait for ever, which is said once.
func TestLockOfAClosedClient(t *testing.T) {
	log := &logBuffer{written: make(chan struct{}, 1)}
	cluster := coordtest.New(t)
	other := cluster.Dial(client.WithTTL(time.Hour))
	other.Mutex("m").Lock()
	other.RWMutex("rw").Lock()
	c := cluster.Dial(client.WithTTL(time.Hour), client.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	returned := make(chan struct{})
	for _, lock := range []func(){c.Mutex("m").Lock, c.RWMutex("rw").RLock} {
		go func() {
			lock()
			close(returned)
		}()
	}
	cluster.AwaitWaiters(client.KindLock, "m", 1)
	cluster.AwaitWaiters(client.KindLock, "rw", 1)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-log.written
	go func() { // begun after Close
		c.Mutex("x").Lock()
		close(returned)
	}()
	_, err := c.Mutex("x").LockContext(context.Background())
	wantErr(t, err, client.ErrClientClosed)
	select {
	case <-returned:
		t.Error("a Lock of a closed client returned")
	default:
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if n := strings.Count(log.buf.String(), "wait for ever"); n != 1 {
		t.Errorf("said %d times: %s", n, log.buf.String())
	}
}

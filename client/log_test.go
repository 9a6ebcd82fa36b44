package client_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A nosy handler uses the client whose log it writes.
type nosy struct {
	client atomic.Pointer[client.Client]
	hold   atomic.Pointer[client.Hold]
	said   chan string
}

func (n *nosy) Enabled(context.Context, slog.Level) bool { return n.hold.Load() != nil }
func (n *nosy) WithAttrs([]slog.Attr) slog.Handler       { return n }
func (n *nosy) WithGroup(string) slog.Handler            { return n }

func (n *nosy) Handle(_ context.Context, r slog.Record) error {
	_ = n.hold.Load().Err()
	_ = n.client.Load().Session()
	n.said <- r.Message
	return nil
}

// A logger may call the client back: nothing of it is locked meanwhile.
func TestLoggerCallsTheClient(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		log := &nosy{said: make(chan string, 9)}
		c := cluster.Dial(client.WithTTL(time.Second), client.WithLogger(slog.New(log)))
		log.client.Store(c)
		h := must(c.Mutex("m").LockContext(t.Context()))(t)
		log.hold.Store(h)
		cluster.Pause(c)
		<-h.Lost()
		cluster.Resume(c)
		for _, want := range []string{"session lost", "session opened anew"} {
			if got := <-log.said; got != want {
				t.Errorf("said %q, not %q", got, want)
			}
		}
	})
}

package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A call whose ctx ends in an outage says so, and one that had a rival does not.
func TestContextEndsInAnOutage(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial(client.WithTTL(time.Hour))
		calls := map[string]func(context.Context) error{
			"lock": func(ctx context.Context) error {
				_, err := c.Mutex("m").LockContext(ctx)
				return err
			},
			"describe": func(ctx context.Context) error {
				_, err := c.Describe(ctx, client.KindLock, "m")
				return err
			},
			"resize": func(ctx context.Context) error { return c.Semaphore("s", 1).Resize(ctx, 2) },
		}
		cluster.Node(0).Kill()
		for name, call := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			err := call(ctx)
			cancel()
			wantErr(t, err, context.DeadlineExceeded, client.ErrUnavailable)
			if err == nil || !strings.Contains(err.Error(), ": context deadline exceeded: no coordd at ") {
				t.Errorf("%s: %v", name, err)
			}
			if errors.Is(err, client.ErrUnknown) {
				t.Errorf("%s was never sent: %v", name, err)
			}
		}
		cluster.Node(0).Restart()
		must(c.Mutex("m").LockContext(t.Context()))(t)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := calls["lock"](ctx)
		wantErr(t, err, context.DeadlineExceeded)
		if errors.Is(err, client.ErrUnavailable) {
			t.Errorf("there is a rival, and no outage: %v", err)
		}
	})
}

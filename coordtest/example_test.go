package coordtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/client/fence"
	"coordd.dev/coordtest"
)

// An hour of waiting costs no time: the whole cluster is in the bubble.
func TestLateWriterIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 3)
		a, b := cluster.Dial(client.WithTTL(10*time.Second)), cluster.Dial()
		ctx := t.Context()
		var disk fence.Guard

		first, err := a.Mutex("disk").LockContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan *client.Hold)
		go func() {
			h, err := b.Mutex("disk").LockContext(ctx)
			if err != nil {
				t.Error(err)
			}
			got <- h
		}()
		cluster.AwaitWaiters(client.KindLock, "disk", 1)

		cluster.KillLeader().Restart() // a's hold and b's place survive
		if err := first.Err(); err != nil {
			t.Fatal(err)
		}

		cluster.Pause(a)
		start := time.Now()
		second := <-got
		if d := time.Since(start); d > 11*time.Second {
			t.Errorf("b waited %v", d)
		}
		if err := context.Cause(first.Context()); !errors.Is(err, client.ErrLost) {
			t.Errorf("a's hold ended with %v", err)
		}
		if err := disk.Check("disk", second.Token()); err != nil {
			t.Error(err)
		}
		if err := disk.Check("disk", first.Token()); !errors.Is(err, fence.ErrStale) {
			t.Errorf("late write: %v", err)
		}
	})
}

package coordtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 3)
		a, b := cluster.Dial(client.WithTTL(10*time.Second)), cluster.Dial()
		ctx := t.Context()
		first, err := a.Mutex("disk").LockContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(first.Token(), a.Session().ID, b.Session().ID)
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
		t.Logf("b waited %v", time.Since(start))
		t.Log(context.Cause(first.Context()))
		_ = second
	})
}

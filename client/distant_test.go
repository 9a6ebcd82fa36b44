package client_test

import (
	"errors"
	"testing"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// Holds of another process are named by their ids, and a deadlock between processes that work
// for others is found as if it were one.
func TestLineageOfAnotherProcess(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		one, two := cluster.Dial(client.WithName("one")), cluster.Dial(client.WithName("two"))
		a := must(one.Mutex("a").LockContext(t.Context()))(t)
		b := must(two.Mutex("b").LockContext(t.Context()))(t)
		ids := client.LineageFrom(a.Context())
		if len(ids) != 1 || client.LineageFrom(t.Context()) != nil {
			t.Fatalf("a's context carries %v", ids)
		}

		helper := cluster.Dial(client.WithName("helper of one"))
		ctx := must(client.ContextWithLineage(t.Context(), ids...))(t)
		got := make(chan *client.Hold, 1)
		go func() { got <- must(helper.Mutex("b").LockContext(ctx))(t) }()
		cluster.AwaitWaiters(client.KindLock, "b", 1)
		_, err := two.Mutex("a").LockContext(b.Context())
		var dead *client.DeadlockError
		if !errors.As(err, &dead) || len(dead.Cycle) != 2 || dead.Cycle[1].Who.Name != "helper of one" {
			t.Fatalf("locked, or %v", err)
		}
		if err := b.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		h := <-got
		if all := client.LineageFrom(h.Context()); len(all) != 2 || all[1] != ids[0] {
			t.Errorf("the helper's hold carries %v besides %v", all, ids)
		}
	})
}

// What has ended is not passed on, and another cluster's promises nothing.
func TestLineageNamesWhatIsHeld(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		h := must(c.Mutex("a").LockContext(t.Context()))(t)
		ctx := h.Context()
		id := client.LineageFrom(ctx)[0]
		far := must(client.ContextWithLineage(t.Context(), "x"+id))(t)
		if _, err := c.Mutex("a").TryLockContext(far); !errors.Is(err, client.ErrBusy) {
			t.Errorf("under a hold of another cluster: %v", err)
		}
		near := must(client.ContextWithLineage(t.Context(), id))(t)
		if _, err := c.Mutex("a").LockContext(near); !errors.Is(err, client.ErrDeadlock) {
			t.Errorf("under the very hold: %v", err)
		}
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if ids := client.LineageFrom(ctx); len(ids) != 0 {
			t.Errorf("a released hold is passed on: %v", ids)
		}
		again := must(c.Mutex("a").LockContext(near))(t)
		if again.Err() != nil {
			t.Error("under a hold that has ended")
		}
		for _, bad := range []client.HoldID{"", "a", "a.b.c", "c.0000000000000001.0", ".0000000000000001.1", "c.1.1", id + ".1"} {
			if _, err := client.ContextWithLineage(t.Context(), bad); !errors.Is(err, client.ErrInvalid) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	})
}

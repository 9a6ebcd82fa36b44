package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// Two processes that lock A then B and B then A: the second to wait is refused, and told both.
func TestDeadlock(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		one, two := cluster.Dial(client.WithName("one")), cluster.Dial(client.WithName("two"))
		a := must(one.Mutex("a").LockContext(t.Context()))(t)
		b := must(two.Mutex("b").LockContext(t.Context()))(t)
		got := make(chan *client.Hold, 1)
		go func() { got <- must(one.Mutex("b").LockContext(a.Context()))(t) }()
		cluster.AwaitWaiters(client.KindLock, "b", 1)

		_, err := two.Mutex("a").LockContext(b.Context())
		var dead *client.DeadlockError
		if !errors.As(err, &dead) || !errors.Is(err, client.ErrDeadlock) || len(dead.Cycle) != 2 {
			t.Fatalf("locked, or %v", err)
		}
		for i, want := range []struct{ who, holds, wants string }{{"two", "b", "a"}, {"one", "a", "b"}} {
			w := dead.Cycle[i]
			if w.Who.Name != want.who || len(w.Holds) != 1 || w.Holds[0].Name != want.holds || w.Wants.Name != want.wants {
				t.Errorf("wait %d is %+v", i, w)
			}
			for _, at := range []string{w.Holds[0].At, w.Wants.At} {
				if !strings.Contains(at, "deadlock_test.go:") {
					t.Errorf("wait %d was made at %q", i, at)
				}
			}
		}
		// The victim lets go, and the other goes on.
		if err := b.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h := <-got; h.Err() != nil {
			t.Error(h.Err())
		}
	})
}

// Without the promise nothing is guessed.
func TestNoDeadlockWithoutLineage(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		one, two := cluster.Dial(), cluster.Dial()
		a := must(one.Mutex("a").LockContext(t.Context()))(t)
		b := must(two.Mutex("b").LockContext(t.Context()))(t)
		done := make(chan error, 2)
		lock := func(m *client.Mutex, h *client.Hold) {
			_, err := m.LockContext(client.ContextWithoutLineage(context.WithoutCancel(h.Context())))
			done <- err
		}
		go lock(one.Mutex("b"), a)
		go lock(two.Mutex("a"), b)
		cluster.AwaitWaiters(client.KindLock, "a", 1)
		cluster.AwaitWaiters(client.KindLock, "b", 1)
		if err := b.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if err := a.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

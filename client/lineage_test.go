package client_test

import (
	"context"
	"errors"
	"regexp"
	"testing"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A wait for what its own ctx holds could never end: it is refused at once.
func TestSelfDeadlock(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial(client.WithMetadata("host", "host-a"), client.WithMetadata("pid", "7"), client.WithName("me"))
		rw := c.RWMutex("m")
		other := must(c.NewSession(t.Context()))(t)
		defer other.Close()
		for name, tc := range map[string]struct {
			hold, want func(context.Context) (*client.Hold, error)
			cycle      bool
		}{
			"write, write":         {rw.LockContext, rw.LockContext, true},
			"write, mutex":         {rw.LockContext, c.Mutex("m").LockContext, true},
			"write, try":           {rw.LockContext, rw.TryLockContext, true},
			"write, other session": {rw.LockContext, other.Mutex("m").LockContext, true},
			"write, read":          {rw.LockContext, rw.RLockContext, true},
			"upgrade":              {rw.RLockContext, rw.LockContext, true},
			"read, read":           {rw.RLockContext, rw.RLockContext, false},
			"other name":           {rw.LockContext, c.Mutex("n").LockContext, false},
			"one of many": {
				func(ctx context.Context) (*client.Hold, error) { return c.LockAll(ctx, "n", "m", "o") },
				rw.RLockContext, true,
			},
			"many of one": {
				rw.LockContext,
				func(ctx context.Context) (*client.Hold, error) { return c.LockAll(ctx, "n", "m", "o") }, true,
			},
		} {
			first := must(tc.hold(t.Context()))(t)
			second, err := tc.want(client.ContextWithHold(t.Context(), first))
			if tc.cycle {
				wantErr(t, err, client.ErrDeadlock)
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if err := second.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
			if err := first.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
		}

		h := must(rw.LockContext(t.Context()))(t)
		_, err := rw.RLockContext(h.Context())
		want := `^deadlock:\n\thost-a pid 7 \(me\) holds lock m \(.*lineage_test\.go:\d+\) and waits for lock m$`
		if !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%q", err)
		}
		// The promise can be taken back, and ends with the hold.
		_, err = rw.TryRLockContext(client.ContextWithoutLineage(h.Context()))
		wantErr(t, err, client.ErrBusy)
		ctx := context.WithoutCancel(h.Context())
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		must(rw.RLockContext(ctx))(t)
	})
}

func TestContexts(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		outer := must(c.Mutex("outer").LockContext(ctx))(t)
		cancel()
		if outer.Context().Value(key{}) != "value" || outer.Context().Err() != nil {
			t.Error("a hold's context has the values, not the end, of the ctx that acquired it")
		}
		inner := must(c.Mutex("inner").LockContext(outer.Context()))(t)
		read := must(c.RWMutex("read").RLockContext(inner.Context()))(t)
		if got, _ := client.TokenFrom(read.Context()); got != inner.Token() {
			t.Errorf("the innermost token is %v", got)
		}
		sent := client.ContextWithToken(t.Context(), 7)
		if got, ok := client.TokenFrom(sent); !ok || got != 7 {
			t.Error(got)
		}
		if _, ok := client.TokenFrom(t.Context()); ok {
			t.Error("a token out of nothing")
		}

		// A ctx with a hold ends with either.
		both, stop := context.WithCancel(t.Context())
		carried := client.ContextWithHold(both, outer)
		stop()
		<-carried.Done()
		carried = client.ContextWithHold(t.Context(), outer)
		if err := outer.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		<-carried.Done()
		if cause := context.Cause(carried); !errors.Is(cause, context.Canceled) {
			t.Error(cause)
		}
		if client.ContextWithHold(t.Context(), outer).Err() == nil {
			t.Error("a ctx with a released hold goes on")
		}
	})
}

func TestLockAll(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		h := must(a.LockAll(t.Context(), "z", "a", "m", "a"))(t)
		if h.Name() != "z" || h.Kind() != client.KindLock || h.Token() == 0 {
			t.Errorf("%v %v %v", h.Kind(), h.Name(), h.Token())
		}
		for _, name := range []string{"z", "a", "m"} {
			d := must(b.Describe(t.Context(), client.KindLock, name))(t)
			if len(d.Holders) != 1 || d.Holders[0].Token != h.Token() {
				t.Errorf("%s: %+v", name, d)
			}
		}
		// It holds nothing until it holds all, and then takes it all at once.
		got := make(chan *client.Hold)
		go func() { got <- must(b.LockAll(t.Context(), "m", "free"))(t) }()
		cluster.AwaitWaiters(client.KindLock, "m", 1)
		wantHeld(t, a, client.KindLock, "free", 0, 1)
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		second := <-got
		wantHeld(t, a, client.KindLock, "free", 1, 0)
		wantHeld(t, a, client.KindLock, "z", 0, 0)
		if second.Token() <= h.Token() {
			t.Error("the token did not rise")
		}
		for _, names := range [][]string{{}, {"x", ""}, make([]string, 1025)} {
			_, err := a.LockAll(t.Context(), names...)
			wantErr(t, err, client.ErrInvalid)
		}
	})
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

func TestMutexExcludesAndTokensRise(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		var in int
		var tokens []client.Token
		var wg sync.WaitGroup
		for range 3 {
			mu := cluster.Dial().Mutex("m")
			for range 4 {
				wg.Go(func() {
					for range 5 {
						err := mu.Do(t.Context(), func(_ context.Context, token client.Token) error {
							if in++; in != 1 {
								t.Error("two are in")
							}
							tokens = append(tokens, token)
							time.Sleep(time.Millisecond)
							in--
							return nil
						})
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		for i, token := range tokens[1:] {
			if token <= tokens[i] {
				t.Fatalf("token %v after %v", token, tokens[i])
			}
		}
		if len(tokens) != 3*4*5 {
			t.Errorf("%d times in", len(tokens))
		}
	})
}

// Two handles of one name are strangers, of one session or of two; and so are two holds
// of one handle.
func TestHandlesAreStrangers(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial()
		mu := a.Mutex("m")
		h := must(mu.LockContext(t.Context()))(t)
		session := must(a.NewSession(t.Context()))(t)
		defer session.Close()
		for name, other := range map[string]*client.Mutex{
			"the same handle":         mu,
			"another handle":          a.Mutex("m"),
			"another client's":        cluster.Dial().Mutex("m"),
			"another session's":       session.Mutex("m"),
			"an RWMutex's write lock": nil,
		} {
			try := func(ctx context.Context) (*client.Hold, error) { return a.RWMutex("m").TryLockContext(ctx) }
			if other != nil {
				try = other.TryLockContext
			}
			if _, err := try(t.Context()); !errors.Is(err, client.ErrBusy) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if p := panicOf(a.Mutex("m").Unlock); p == nil {
			t.Error("a handle unlocked what another locked")
		}
		if p := panicOf(mu.Unlock); p == nil {
			t.Error("Unlock released a hold of LockContext")
		}
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if err := h.Unlock(t.Context()); err != nil {
			t.Errorf("the second Unlock: %v", err)
		}
		wantErr(t, h.Err(), client.ErrReleased)
		if cause := context.Cause(h.Context()); !errors.Is(cause, context.Canceled) {
			t.Errorf("the context of a released hold ended with %v", cause)
		}
		select {
		case <-h.Lost():
			t.Error("a released hold is lost")
		default:
		}
	})
}

// FIFO: whoever asked first has it first, whichever session asked.
func TestMutexIsFIFO(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		first := must(cluster.Dial().Mutex("m").LockContext(t.Context()))(t)
		clients := []*client.Client{cluster.Dial(), cluster.Dial()}
		var order []int
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				h, err := clients[i%2].Mutex("m").LockContext(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				if err := h.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			})
			cluster.AwaitWaiters(client.KindLock, "m", i+1)
		}
		if err := first.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if got := fmt.Sprint(order); got != "[0 1 2 3 4 5 6 7]" {
			t.Error(got)
		}
	})
}

func TestTryLock(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial(client.WithMetadata("host", "host-a"), client.WithMetadata("pid", "812"), client.WithName("billing"))
		b := cluster.Dial()
		mu := a.Mutex("deploy")
		if !mu.TryLock() {
			t.Fatal("TryLock of a free lock")
		}
		if mu.TryLock() || b.Mutex("deploy").TryLock() {
			t.Error("TryLock of a held lock")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiter sync.WaitGroup
		waiter.Go(func() {
			_, err := b.Mutex("deploy").LockContext(ctx)
			wantErr(t, err, context.Canceled)
		})
		cluster.AwaitWaiters(client.KindLock, "deploy", 1)
		time.Sleep(2 * time.Minute)
		_, err := b.Mutex("deploy").TryLockContext(t.Context())
		wantErr(t, err, client.ErrBusy)
		if got := err.Error(); got != "lock deploy: would wait: held 2m by host-a pid 812 (billing), 1 ahead" {
			t.Error(got)
		}
		cancel()
		waiter.Wait()
		mu.Unlock()
	})
}

// What no answer comes to is ended: the lock is free afterwards.
func TestTryLockWithoutAnAnswer(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		mu := a.Mutex("m")
		cluster.Pause(a)
		start := time.Now()
		if mu.TryLock() {
			t.Error("locked without an answer")
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("TryLock took %v", d)
		}
		_, err := mu.TryLockContext(t.Context())
		wantErr(t, err, client.ErrUnavailable)
		cluster.Resume(a)
		must(b.Mutex("m").LockContext(t.Context()))(t)
	})
}

func TestDefiniteRefusalsPanic(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		for _, name := range []string{"", strings.Repeat("x", 257), "a\nb", "\xff"} {
			mu := c.Mutex(name)
			for _, f := range []func(){mu.Lock, func() { mu.TryLock() }, mu.Lock} {
				err, _ := panicOf(f).(error)
				wantErr(t, err, client.ErrInvalid)
			}
			_, err := mu.LockContext(t.Context())
			wantErr(t, err, client.ErrInvalid)
		}
		must(c.Mutex(strings.Repeat("é", 128)).LockContext(t.Context()))(t)
		for _, d := range []time.Duration{-1, 25 * time.Hour} {
			_, err := c.Mutex("m", client.WithLockDelay(d)).LockContext(t.Context())
			wantErr(t, err, client.ErrInvalid)
			if want := fmt.Sprintf("lock m: invalid argument: lock-delay %v is not within 0s to 24h0m0s", d); err == nil || err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
		}
		must(c.Mutex("m", client.WithLockDelay(24*time.Hour)).LockContext(t.Context()))(t)
	})
}

// A lock passes from hand to hand within one session, over Lock and Unlock that never
// wait for the network on the way out.
func TestLockInOneHandle(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		mu := cluster.Dial().Mutex("m")
		in, times := 0, 0
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for range 10 {
					mu.Lock()
					if in++; in != 1 {
						t.Error("two are in")
					}
					synctest.Wait()
					times++
					in--
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if times != 100 {
			t.Error(times)
		}
	})
}

// A sync-shaped Unlock does not wait for the network.
func TestUnlockDoesNotWait(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		mu := a.Mutex("m")
		mu.Lock()
		cluster.Pause(a)
		start := time.Now()
		mu.Unlock()
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
		cluster.Resume(a)
		pass(b.Mutex("m"))
	})
}

package client_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A cancelled wait leaves nothing behind, and says both why and what.
func TestCancelLeavesNothing(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Mutex("m").LockContext(ctx)
		wantErr(t, err, context.DeadlineExceeded)

		because := errors.New("because")
		cctx, stop := context.WithCancelCause(t.Context())
		go func() {
			cluster.AwaitWaiters(client.KindLock, "m", 1)
			stop(because)
		}()
		_, err = b.Mutex("m").LockContext(cctx)
		wantErr(t, err, context.Canceled, because)
		if got := err.Error(); got != "lock m: because" {
			t.Error(got)
		}
		_, err = b.Mutex("m").LockContext(cctx)
		wantErr(t, err, context.Canceled, because)

		synctest.Wait()
		wantHeld(t, a, client.KindLock, "m", 1, 0)
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		wantHeld(t, a, client.KindLock, "m", 0, 0)
	})
}

// Cancel races grant: whichever wins, the lock is not left held by nobody. Either comes
// first for sure now and then, and in the other rounds they do race.
func TestCancelRacesGrant(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		mine, theirs := a.Mutex("m"), b.Mutex("m")
		const rounds = 200
		granted := 0
		for i := range rounds {
			mine.Lock()
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				h, err := theirs.LockContext(ctx)
				if err != nil {
					wantErr(t, err, context.Canceled)
					return
				}
				granted++
				if err := h.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			})
			cluster.AwaitWaiters(client.KindLock, "m", 1)
			switch i % 4 {
			case 0:
				cancel()
				synctest.Wait()
				mine.Unlock()
			case 1:
				mine.Unlock()
				synctest.Wait()
				cancel()
			default:
				wg.Go(mine.Unlock)
				wg.Go(func() {
					for range i { // a little later each time
						runtime.Gosched()
					}
					cancel()
				})
			}
			wg.Wait()
		}
		t.Logf("granted %d of %d", granted, rounds)
		if granted < rounds/4 || granted > rounds*3/4 {
			t.Error("one side came first, and lost")
		}
		must(mine.LockContext(t.Context()))(t)
	})
}

// Unlock with a dead ctx releases all the same.
func TestUnlockBehindADeadContext(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		cluster.Pause(a)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantErr(t, h.Unlock(ctx), context.DeadlineExceeded)
		wantErr(t, h.Unlock(t.Context()), context.DeadlineExceeded) // what the first returned
		cluster.Resume(a)
		must(b.Mutex("m").LockContext(t.Context()))(t)
	})
}

// The outcome of a Resize that was sent and not answered is unknown, and that of one
// that was never sent is not.
func TestUnknownOutcome(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial()
		sem := a.Semaphore("s", 2)
		if err := sem.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		cluster.Pause(a)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := sem.Resize(ctx, 3)
		wantErr(t, err, context.DeadlineExceeded, client.ErrUnknown)
		if got := err.Error(); got != "resize semaphore s: context deadline exceeded: outcome unknown" {
			t.Error(got)
		}
		err = sem.Resize(ctx, 3)
		wantErr(t, err, context.DeadlineExceeded)
		if errors.Is(err, client.ErrUnknown) {
			t.Errorf("never sent, but %v", err)
		}

		// The session ends with the Resize in the air; the one that replaces it learns
		// what became of it, or that nobody knows.
		done := make(chan error, 1)
		go func() { done <- sem.Resize(context.Background(), 4) }()
		time.Sleep(time.Minute)
		cluster.Resume(a)
		if err := <-done; err != nil {
			wantErr(t, err, client.ErrUnknown)
		}
	})
}

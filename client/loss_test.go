package client_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// The waiter has the lock at the holder's expiry, to the nanosecond: TTL after the last
// renewal that the cluster has, and the holder knew of it a margin before.
func TestExpiryIsExact(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const ttl = 10 * time.Second
		a, b := cluster.Dial(client.WithTTL(ttl)), cluster.Dial()
		// An Attach is a commit, which takes no virtual time: the lease begins now.
		opened := time.Now()
		first := must(a.Mutex("m").LockContext(t.Context()))(t)
		cluster.Pause(a)
		second := must(b.Mutex("m").LockContext(t.Context()))(t)
		if got := time.Since(opened); got != ttl {
			t.Errorf("the waiter had the lock after %v", got)
		}
		lost, _ := errors.AsType[*client.LostError](first.Err())
		if lost == nil {
			t.Fatal("the first hold is not lost")
		}
		if got := lost.At.Sub(opened); got != ttl-ttl/10 {
			t.Errorf("lost after %v", got)
		}
		if lost.Reason != client.ReasonExpired || lost.Token != first.Token() || lost.Held != ttl-ttl/10 {
			t.Errorf("%+v", lost)
		}
		if cause := context.Cause(first.Context()); !errors.Is(cause, lost) {
			t.Errorf("cause %v", cause)
		}
		select {
		case <-first.Lost():
		default:
			t.Error("Lost is not closed")
		}
		wantErr(t, first.Unlock(t.Context()), client.ErrLost)
		if second.Token() <= first.Token() {
			t.Errorf("token %v after %v", second.Token(), first.Token())
		}
	})
}

// After a loss the client opens another session, in which everything works.
func TestClientOutlivesItsSession(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(client.WithTTL(time.Second)), cluster.Dial()
		before := a.Session()
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		cluster.Pause(a)
		<-before.Context().Done()
		wantErr(t, context.Cause(before.Context()), client.ErrLost)
		wantErr(t, h.Err(), client.ErrLost)
		cluster.Resume(a)
		again := must(a.Mutex("m").LockContext(t.Context()))(t)
		if a.Session().ID == before.ID || a.Session().Context().Err() != nil {
			t.Errorf("session %v after %v", a.Session().ID, before.ID)
		}
		if again.Token() <= h.Token() {
			t.Error("the token did not rise")
		}
		wantHeld(t, b, client.KindLock, "m", 1, 0)
	})
}

// A wait outlives the session it was made in, and its caller does not notice.
func TestWaitOutlivesItsSession(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(client.WithTTL(time.Second)), cluster.Dial()
		h := must(b.Mutex("m").LockContext(t.Context()))(t)
		got := make(chan *client.Hold, 1)
		go func() { got <- must(a.Mutex("m").LockContext(t.Context()))(t) }()
		cluster.AwaitWaiters(client.KindLock, "m", 1)
		cluster.Pause(a)
		<-a.Session().Context().Done()
		cluster.Resume(a)
		time.Sleep(time.Minute)
		wantHeld(t, b, client.KindLock, "m", 1, 1)
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if h := <-got; h.Err() != nil {
			t.Error(h.Err())
		}
	})
}

// An Unlock that comes after the loss frees nobody else's hold, and within the process
// nobody is let in before it.
func TestLateUnlockIsOwed(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(client.WithTTL(time.Second), client.WithOnLost(func(*client.LostError) {})), cluster.Dial()
		mu := a.Mutex("m")
		mu.Lock()
		cluster.Pause(a)
		<-a.Session().Context().Done()
		cluster.Resume(a)

		locked := make(chan struct{})
		go func() {
			mu.Lock()
			close(locked)
		}()
		time.Sleep(time.Minute)
		select {
		case <-locked:
			t.Fatal("a second goroutine of the handle is in before the first is out")
		default:
		}
		// Another handle of the same session is a stranger, and is let in.
		sibling := a.Mutex("m")
		sibling.Lock()
		mu.Unlock() // late; now the second goroutine asks, and waits for the sibling
		cluster.AwaitWaiters(client.KindLock, "m", 1)
		wantHeld(t, b, client.KindLock, "m", 1, 1)
		if b.Mutex("m").TryLock() {
			t.Error("the late Unlock freed the sibling's hold")
		}
		sibling.Unlock()
		<-locked
		wantHeld(t, b, client.KindLock, "m", 1, 0)
		mu.Unlock()
	})
}

func TestUnlockOfALostHoldPanics(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		told := make(chan *client.LostError, 9)
		quiet := cluster.Dial(client.WithTTL(time.Second), client.WithOnLost(func(e *client.LostError) { told <- e }))
		loud := cluster.Dial(client.WithTTL(time.Second))
		for _, c := range []*client.Client{quiet, loud} {
			mu, rw, sem := c.Mutex("m"), c.RWMutex("rw"), c.Semaphore("s", 3)
			pass(mu)
			mu = c.Mutex(string("m" + c.Session().ID))
			mu.Lock()
			rw.RLock()
			if err := sem.Acquire(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			cluster.Pause(c)
			<-c.Session().Context().Done()
			for _, f := range []func(){mu.Unlock, rw.RUnlock, func() { sem.Release(1) }} {
				lost, _ := panicOf(f).(*client.LostError)
				if (lost == nil) != (c == quiet) {
					t.Errorf("panicked with %v", lost)
				}
			}
			cluster.Resume(c)
			pass(mu) // nothing is owed any more
		}
		if e := <-told; e.Reason != client.ReasonExpired {
			t.Error(e)
		}
	})
}

// Do says that the hold was lost, even if f did not notice.
func TestDoReportsTheLoss(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial(client.WithTTL(time.Second))
		own := errors.New("own error")
		for _, want := range []error{nil, own} {
			err := c.Mutex("m").Do(t.Context(), func(ctx context.Context, token client.Token) error {
				cluster.Pause(c)
				<-ctx.Done()
				cluster.Resume(c)
				wantErr(t, context.Cause(ctx), client.ErrLost)
				if got, ok := client.TokenFrom(ctx); !ok || got != token {
					t.Errorf("ctx carries %v", got)
				}
				return want
			})
			wantErr(t, err, client.ErrLost)
			if want != nil {
				wantErr(t, err, want)
			}
		}
		// f that returns the cause itself is not told twice.
		err := c.Mutex("m").Do(t.Context(), func(ctx context.Context, _ client.Token) error {
			cluster.Pause(c)
			<-ctx.Done()
			cluster.Resume(c)
			return context.Cause(ctx)
		})
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			t.Errorf("told %d times", len(joined.Unwrap()))
		}
		wantErr(t, err, client.ErrLost)
	})
}

func TestDoReleases(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		mu := a.Mutex("m")
		f := func(context.Context, client.Token) error { panic("f") }
		if p := panicOf(func() { _ = mu.Do(t.Context(), f) }); p != "f" {
			t.Errorf("panicked with %v", p)
		}
		synctest.Wait() // a panic does not wait for the release
		must(b.Mutex("m").TryLockContext(t.Context()))(t)

		own := errors.New("own error")
		if err := a.Mutex("n").Do(t.Context(), func(context.Context, client.Token) error { return own }); !errors.Is(err, own) {
			t.Error(err)
		}
		must(b.Mutex("n").TryLockContext(t.Context()))(t)
	})
}

// After a suspend the timers are behind; contexts end nevertheless before the cluster may
// give to others what was held at the latest renewal.
func TestLossAfterASuspend(t *testing.T) {
	for _, ttl := range []time.Duration{500 * time.Millisecond, 10 * time.Second, time.Hour} {
		inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
			a := cluster.Dial(client.WithTTL(ttl))
			h := must(a.Mutex("m").LockContext(t.Context()))(t)
			ctx := h.Context()
			synctest.Wait()
			a.Suspend(10 * ttl)
			start := time.Now()
			<-ctx.Done()
			margin := max(ttl/10, 50*time.Millisecond)
			if d := time.Since(start); d > min(margin, time.Second) {
				t.Errorf("TTL %v: the context ended %v after the process woke up", ttl, d)
			}
			lost, _ := errors.AsType[*client.LostError](context.Cause(ctx))
			if lost == nil || lost.Reason != client.ReasonPaused {
				t.Fatalf("cause %v", context.Cause(ctx))
			}
			// It was given up at the deadline, not when that was noticed.
			if lost.Held != ttl-margin {
				t.Errorf("TTL %v: held %v", ttl, lost.Held)
			}
			if d := time.Since(lost.At); d < 10*ttl-ttl {
				t.Errorf("TTL %v: lost %v ago", ttl, d)
			}
		})
	}
}

// Work that was promised time to stop has it before anybody else is let in, also if the
// client comes back and could end its old session at once.
func TestEndEarlyIsKept(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		const early = 2 * time.Second
		a, b := cluster.Dial(client.WithTTL(10*time.Second), client.WithEndEarly(early)), cluster.Dial()
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		cluster.Pause(a)
		<-h.Lost()
		lost := time.Now()
		cluster.Resume(a)
		must(b.Mutex("m").LockContext(t.Context()))(t)
		if d := time.Since(lost); d < early {
			t.Errorf("the lock was another's %v after the loss", d)
		}
	})
}

// Lost may be asked for at the instant of the loss.
func TestLostRacesTheLoss(t *testing.T) {
	for range 20_000 {
		<-client.RaceLost()
	}
}

// What was lost before Close is lost for that reason, and said.
func TestCloseAfterALoss(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		told := make(chan *client.LostError, 1)
		a := cluster.Dial(client.WithTTL(time.Second), client.WithOnLost(func(e *client.LostError) { told <- e }))
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		synctest.Wait()
		a.Suspend(time.Minute)
		_ = a.Close()
		lost, _ := errors.AsType[*client.LostError](h.Err())
		if lost == nil || lost.Reason != client.ReasonPaused {
			t.Errorf("the hold: %v", h.Err())
		}
		synctest.Wait()
		select {
		case e := <-told:
			if e != lost {
				t.Errorf("told %v", e)
			}
		default:
			t.Error("nobody was told")
		}
	})
}

// The cluster ended the session and the client does not know; both learn in time.
func TestExpireBehindTheClient(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		cluster.Expire(a)
		second := must(b.Mutex("m").TryLockContext(t.Context()))(t)
		if err := h.Err(); err != nil {
			t.Errorf("the client knows already: %v", err)
		}
		if second.Token() <= h.Token() {
			t.Error("the token did not rise")
		}
		cluster.Resume(a)
		synctest.Wait()
		wantErr(t, h.Err(), client.ErrLost)
	})
}

// Close cancels what is held, ends what waits, and releases at once.
func TestClose(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		b := cluster.Dial()
		a := cluster.Dial(client.WithOnLost(func(e *client.LostError) { t.Errorf("told of what Close ended: %v", e) }))
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		kept := a.Mutex("kept")
		kept.Lock()
		blocker := must(b.Mutex("n").LockContext(t.Context()))(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := a.Mutex("n").LockContext(t.Context())
			wantErr(t, err, client.ErrClientClosed)
		})
		cluster.AwaitWaiters(client.KindLock, "n", 1)
		start := time.Now()
		for range 2 {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v", d)
		}
		wg.Wait()
		lost, _ := errors.AsType[*client.LostError](h.Err())
		if lost == nil || lost.Reason != client.ReasonClosed {
			t.Errorf("the hold: %v", h.Err())
		}
		wantErr(t, context.Cause(h.Context()), client.ErrLost)
		wantErr(t, context.Cause(a.Session().Context()), client.ErrLost)
		kept.Unlock() // does nothing
		_, err := a.Mutex("x").LockContext(t.Context())
		wantErr(t, err, client.ErrClientClosed)
		_, err = a.Describe(t.Context(), client.KindLock, "m")
		wantErr(t, err, client.ErrClientClosed)
		_, err = a.NewSession(t.Context())
		wantErr(t, err, client.ErrClientClosed)
		if a.Mutex("x").TryLock() {
			t.Error("locked with a closed client")
		}
		must(b.Mutex("m").TryLockContext(t.Context()))(t)
		must(b.Mutex("kept").TryLockContext(t.Context()))(t)
		_ = blocker
	})
}

func TestShutdown(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial()
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		go func() {
			time.Sleep(time.Second)
			if err := h.Unlock(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		start := time.Now()
		if err := a.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("took %v", d)
		}

		b := cluster.Dial()
		h = must(b.Mutex("m").LockContext(t.Context()))(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantErr(t, b.Shutdown(ctx), context.DeadlineExceeded)
		wantErr(t, h.Err(), client.ErrLost)
	})
}

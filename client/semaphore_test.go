package client_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

func TestSemaphoreLimits(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const limit = 5
		var in atomic.Int64
		var full atomic.Bool
		var wg sync.WaitGroup
		for range 3 {
			sem := cluster.Dial().Semaphore("s", limit)
			for w := range 6 {
				n := int64(1 + w%3)
				wg.Go(func() {
					for range 10 {
						err := sem.Do(t.Context(), n, func(context.Context) error {
							switch now := in.Add(n); {
							case now > limit:
								t.Errorf("%d are in", now)
							case now == limit:
								full.Store(true)
							}
							time.Sleep(time.Millisecond)
							in.Add(-n)
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
		if !full.Load() || in.Load() != 0 {
			t.Errorf("was it ever full: %v; %d are in", full.Load(), in.Load())
		}
	})
}

// Release takes any permits out of the bag, whole holds and parts.
func TestSemaphoreBag(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		sem := a.Semaphore("s", 10)
		held := func(want int64) {
			t.Helper()
			synctest.Wait()
			d, err := b.Describe(t.Context(), client.KindSemaphore, "s")
			if err != nil {
				t.Fatal(err)
			}
			if d.Held != want {
				t.Errorf("%d are held, want %d", d.Held, want)
			}
		}
		for _, n := range []int64{3, 4, 0, 2} {
			if err := sem.Acquire(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		held(9)
		if sem.TryAcquire(2) {
			t.Error("acquired beyond the limit")
		}
		sem.Release(1) // part of the last
		held(8)
		sem.Release(5) // the rest of that, and all of the one before
		held(3)
		sem.Release(0)
		sem.Release(1)
		sem.Release(1)
		held(1)
		if !sem.TryAcquire(9) {
			t.Error("not acquired within the limit")
		}
		held(10)
		sem.Release(10)
		held(0)
		for _, n := range []int64{1, -1} {
			if p := panicOf(func() { sem.Release(n) }); p == nil {
				t.Errorf("released %d that are not held", n)
			}
		}
	})
}

// A Release pays first for permits that were lost, so that those acquired since stay.
func TestSemaphoreReleasePaysForLost(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial(client.WithTTL(time.Second), client.WithOnLost(func(*client.LostError) {}))
		b := cluster.Dial()
		sem := a.Semaphore("s", 5)
		if err := sem.Acquire(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		cluster.Pause(a)
		<-a.Session().Context().Done()
		cluster.Resume(a)
		if err := sem.Acquire(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		sem.Release(2)
		sem.Release(1)
		synctest.Wait()
		d := must(b.Describe(t.Context(), client.KindSemaphore, "s"))(t)
		if d.Held != 2 {
			t.Errorf("%d are held", d.Held)
		}
		sem.Release(2)
	})
}

func TestSemaphoreRefusals(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial()
		sem := a.Semaphore("s", 3)
		_, err := sem.AcquireHold(t.Context(), 0)
		wantErr(t, err, client.ErrInvalid)
		wantErr(t, sem.Acquire(t.Context(), -1), client.ErrInvalid)
		dead, cancel := context.WithCancel(t.Context())
		cancel()
		for _, n := range []int64{0, 1} {
			wantErr(t, sem.Acquire(dead, n), context.Canceled)
		}
		if err := sem.Acquire(t.Context(), 0); err != nil {
			t.Error(err)
		}
		err = sem.Acquire(t.Context(), 4)
		wantErr(t, err, client.ErrInvalid)
		if got := err.Error(); got != "semaphore s: invalid argument: 4 permits are more than the limit of 3" {
			t.Error(got)
		}
		h := must(sem.AcquireHold(t.Context(), 2))(t)
		if h.Token() != 0 || h.Kind() != client.KindSemaphore || h.Name() != "s" {
			t.Errorf("%v %v %v", h.Token(), h.Kind(), h.Name())
		}
		err = a.Semaphore("s", 4).Acquire(t.Context(), 1)
		wantErr(t, err, client.ErrMismatch)
		if got := err.Error(); got != "semaphore s: object made otherwise: it was made with limit 3" {
			t.Error(got)
		}
		if err := a.Semaphore("s", 0).Acquire(t.Context(), 1); err != nil {
			t.Errorf("whatever is stored: %v", err)
		}
		_, err = sem.TryAcquireHold(t.Context(), 1)
		wantErr(t, err, client.ErrBusy)

		for limit, want := range map[int64]string{
			-1:        "semaphore x: invalid argument: limit -1 is not within 0 to 1099511627776",
			1<<40 + 1: "semaphore x: invalid argument: limit 1099511627777 is not within 0 to 1099511627776",
			0:         "semaphore x: not found: it has no limit yet: give one",
		} {
			if err := a.Semaphore("x", limit).Acquire(t.Context(), 1); err == nil || err.Error() != want {
				t.Error(err)
			}
			if p := panicOf(func() { a.Semaphore("x", limit).TryAcquire(1) }); p == nil {
				t.Errorf("limit %d: no panic", limit)
			}
		}
		for _, limit := range []int64{0, 1<<40 + 1} {
			wantErr(t, sem.Resize(t.Context(), limit), client.ErrInvalid)
		}
		if err := a.Semaphore("new", 0).Resize(t.Context(), 2); err != nil { // stores the limit
			t.Error(err)
		}
		wantErr(t, a.Semaphore("new", 0).Acquire(t.Context(), 3), client.ErrInvalid)
		_, err = a.Describe(t.Context(), client.KindSemaphore, "none")
		wantErr(t, err, client.ErrNotFound)
	})
}

func TestResize(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial()
		sem := a.Semaphore("s", 3)
		h := must(sem.AcquireHold(t.Context(), 3))(t)
		refused := make(chan error, 1)
		go func() { refused <- sem.Acquire(t.Context(), 3) }()
		cluster.AwaitWaiters(client.KindSemaphore, "s", 1)
		if err := sem.Resize(t.Context(), 2); err != nil {
			t.Error(err)
		}
		wantErr(t, <-refused, client.ErrInvalid) // it no longer fits
		if err := sem.Resize(t.Context(), 4); err != nil {
			t.Error(err)
		}
		if err := sem.Acquire(t.Context(), 1); err != nil {
			t.Error(err)
		}
		if sem.TryAcquire(1) {
			t.Error("more than the new limit")
		}
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if err := sem.Acquire(t.Context(), 3); err != nil { // the handle's limit is the stored one
			t.Error(err)
		}
	})
}

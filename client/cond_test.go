package client_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// sync's test of Signal: of several that wait each signal wakes one, in order.
func TestCondSignal(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const n = 4
		var order []int
		for i := range n {
			c := cluster.Dial()
			m := c.Mutex("m")
			cond := c.Cond("c", m)
			go func() {
				cond.L.Lock()
				cond.Wait()
				order = append(order, i)
				cond.L.Unlock()
			}()
			cluster.AwaitWaiters(client.KindCond, "c", i+1)
		}
		c := cluster.Dial()
		m := c.Mutex("m")
		cond := c.Cond("c", m)
		for i := range n {
			m.Lock()
			if len(order) != i {
				t.Errorf("%d are awake after %d signals", len(order), i)
			}
			cond.Signal()
			m.Unlock()
			time.Sleep(time.Second)
		}
		m.Lock()
		defer m.Unlock()
		cond.Signal() // to nobody
		if !slices.Equal(order, []int{0, 1, 2, 3}) {
			t.Errorf("woken in the order %v", order)
		}
	})
}

func TestCondBroadcast(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const n = 5
		awake := 0 // guarded by the lock
		c := cluster.Dial()
		m := c.Mutex("m") // one handle for all: they are goroutines of one process
		cond := c.Cond("c", m)
		ready := false
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				m.Lock()
				defer m.Unlock()
				for !ready {
					cond.Wait()
				}
				awake++
			})
			cluster.AwaitWaiters(client.KindCond, "c", i+1)
		}
		m.Lock()
		ready = true
		cond.Broadcast()
		if awake != 0 {
			t.Error("somebody is awake while the lock is held")
		}
		m.Unlock()
		wg.Wait()
		if awake != n {
			t.Errorf("%d are awake", awake)
		}
		mustNotBeHeld(t, c, "m")
	})
}

func mustNotBeHeld(t *testing.T, c *client.Client, name string) {
	t.Helper()
	synctest.Wait()
	if d, err := c.Describe(t.Context(), client.KindLock, name); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("%s is %+v (%v)", name, d, err)
	}
}

// A Wait that is cancelled after its Signal, before it has the lock, passes the signal on.
func TestCondSignalIsPassedOn(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b, c := cluster.Dial(), cluster.Dial(), cluster.Dial()
		ctx, cancel := context.WithCancel(t.Context())
		wait := func(ctx context.Context, c *client.Client, n int) chan error {
			done := make(chan error, 1)
			go func() {
				m := c.Mutex("m")
				h, err := m.LockContext(t.Context())
				if err != nil {
					t.Error(err)
				}
				before := h.Token()
				if h, err = c.Cond("c", m).WaitContext(ctx, h); err == nil {
					if h.Token() <= before {
						t.Errorf("token %v after %v", h.Token(), before)
					}
					err = h.Unlock(t.Context())
				}
				done <- err
			}()
			cluster.AwaitWaiters(client.KindCond, "c", n)
			return done
		}
		first, second := wait(ctx, a, 1), wait(t.Context(), b, 2)
		m := c.Mutex("m")
		h := must(m.LockContext(t.Context()))(t)
		if err := c.Cond("c", m).SignalContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first ended with %v", err)
		}
		synctest.Wait()
		if err := h.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-second; err != nil {
			t.Errorf("the second was not woken: %v", err)
		}
		mustNotBeHeld(t, c, "m")
	})
}

// After the loss of its session a Wait returns, with the lock.
func TestCondLoss(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		m := c.Mutex("m")
		cond := c.Cond("c", m)
		done := make(chan struct{})
		go func() {
			m.Lock()
			cond.Wait()
			m.Unlock()
			close(done)
		}()
		cluster.AwaitWaiters(client.KindCond, "c", 1)
		cluster.Expire(c)
		cluster.Resume(c)
		<-done
		mustNotBeHeld(t, c, "m")
	})
}

func TestCondMisuse(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		m, other := c.Mutex("m"), c.Mutex("other")
		cond := c.Cond("c", m)
		if panicOf(cond.Wait) == nil {
			t.Error("it waits with an unlocked L")
		}
		h := must(other.LockContext(t.Context()))(t)
		if _, err := cond.WaitContext(t.Context(), h); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("with the hold of another lock: %v", err)
		}
		if h.Err() == nil {
			t.Error("an error, and it is held")
		}
		cond.L = other
		if panicOf(cond.Wait) == nil {
			t.Error("L was changed")
		}
	})
}

// A signal is for who waits, not for who comes to wait after it, though that has the lock
// before the first does something with it.
func TestCondSignalIsNotStolen(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		wait := func() chan struct{} {
			c := cluster.Dial()
			m := c.Mutex("m")
			cond := c.Cond("c", m)
			woken := make(chan struct{})
			go func() {
				m.Lock()
				cond.Wait()
				close(woken)
				m.Unlock()
			}()
			return woken
		}
		c := cluster.Dial()
		m := c.Mutex("m")
		cond := c.Cond("c", m)
		for range 5 {
			first := wait()
			cluster.AwaitWaiters(client.KindCond, "c", 1)
			m.Lock()
			late := wait()
			cluster.AwaitWaiters(client.KindLock, "m", 1) // before the first, who has no signal yet
			cond.Signal()
			m.Unlock()
			<-first
			cluster.AwaitWaiters(client.KindCond, "c", 1)
			select {
			case <-late:
				t.Error("who came late has the signal too")
			default:
			}
			cond.Signal()
			<-late
		}
		mustNotBeHeld(t, c, "m")
	})
}

// A bounded buffer on two conds, with Signal alone, and three processes that take turns, with
// Broadcast: a wake-up that is lost anywhere, also with a leader, would stop them for ever.
func TestCondLosesNoWakeUp(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const processes, each = 3, 15
		full, turn := 0, 0 // of one slot; both guarded by the lock
		var taken []int
		var wg sync.WaitGroup
		for me := range processes {
			c := cluster.Dial(client.WithTTL(time.Minute))
			m := c.Mutex("m")
			empty, filled, next := c.Cond("empty", m), c.Cond("filled", m), c.Cond("next", m)
			wg.Go(func() {
				for range each {
					m.Lock()
					for full != 0 {
						empty.Wait()
					}
					full = me + 1
					filled.Signal()
					m.Unlock()
				}
			})
			wg.Go(func() {
				for range each {
					m.Lock()
					for full == 0 {
						filled.Wait()
					}
					taken = append(taken, full)
					full = 0
					empty.Signal()
					m.Unlock()
				}
			})
			wg.Go(func() {
				for range each {
					m.Lock()
					for turn%processes != me {
						next.Wait()
					}
					turn++
					next.Broadcast()
					m.Unlock()
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		cluster.KillLeader().Restart()
		wg.Wait()
		if turn != processes*each || len(taken) != processes*each {
			t.Errorf("%d turns, %d taken", turn, len(taken))
		}
		slices.Sort(taken)
		if n := len(slices.Compact(taken)); n != processes {
			t.Errorf("of %d processes", n)
		}
	})
}

package client_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

func TestRWMutex(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		var readers, writers, together atomic.Int32
		var wg sync.WaitGroup
		for range 3 {
			rw := cluster.Dial().RWMutex("rw")
			for range 4 {
				wg.Go(func() {
					for range 5 {
						rw.RLock()
						if readers.Add(1) > 1 {
							together.Add(1)
						}
						if writers.Load() != 0 {
							t.Error("a reader beside a writer")
						}
						time.Sleep(time.Millisecond)
						readers.Add(-1)
						rw.RUnlock()
					}
				})
			}
			wg.Go(func() {
				for range 5 {
					rw.Lock()
					if w, r := writers.Add(1), readers.Load(); w != 1 || r != 0 {
						t.Errorf("%d writers beside %d readers", w, r)
					}
					time.Sleep(time.Millisecond)
					writers.Add(-1)
					rw.Unlock()
				}
			})
		}
		wg.Wait()
		if together.Load() == 0 {
			t.Error("readers were never together")
		}
	})
}

// A waiting writer blocks later readers, of its own handle as well as of another
// process.
func TestWaitingWriterBlocksReaders(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		rw := a.RWMutex("rw")
		rw.RLock()
		written := make(chan struct{})
		go func() {
			rw.Lock()
			close(written)
		}()
		cluster.AwaitWaiters(client.KindLock, "rw", 1)
		if rw.TryRLock() || b.RWMutex("rw").TryRLock() {
			t.Error("a reader overtook the writer")
		}
		rw.RUnlock()
		<-written
		if rw.TryRLock() || rw.TryLock() {
			t.Error("beside a writer")
		}
		rw.Unlock()
		l := rw.RLocker()
		l.Lock()
		if !b.RWMutex("rw").TryRLock() {
			t.Error("readers exclude each other")
		}
		l.Unlock()
		if p := panicOf(rw.RUnlock); p == nil {
			t.Error("RUnlock of what is not locked")
		}
		if p := panicOf(rw.Unlock); p == nil {
			t.Error("Unlock of what is not locked")
		}
	})
}

func TestReadHoldsHaveNoToken(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		rw := cluster.Dial().RWMutex("rw")
		h := must(rw.RLockContext(t.Context()))(t)
		if h.Token() != 0 {
			t.Error(h.Token())
		}
		if _, ok := client.TokenFrom(h.Context()); ok {
			t.Error("its context carries a token")
		}
		if _, err := h.Token().Value(); err == nil {
			t.Error("token 0 is an argument of SQL")
		}
		second := must(rw.TryRLockContext(t.Context()))(t)
		_, err := rw.TryLockContext(t.Context())
		wantErr(t, err, client.ErrBusy)
		for _, h := range []*client.Hold{h, second} {
			if err := h.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
		}
		w := must(rw.TryLockContext(t.Context()))(t)
		if w.Token() == 0 {
			t.Error("a write lock without a token")
		}
	})
}

// After a loss nobody of the handle is let in beside one who has not noticed.
func TestRWMutexOwesUnlocks(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial(client.WithTTL(time.Second), client.WithOnLost(func(*client.LostError) {}))
		rw := a.RWMutex("rw")
		lose := func() {
			cluster.Pause(a)
			<-a.Session().Context().Done()
			cluster.Resume(a)
			time.Sleep(time.Minute)
		}
		blocked := func(lock func()) <-chan struct{} {
			t.Helper()
			done := make(chan struct{})
			go func() {
				lock()
				close(done)
			}()
			synctest.Wait()
			select {
			case <-done:
				t.Error("let in beside one that owes its Unlock")
			default:
			}
			return done
		}

		rw.RLock()
		rw.RLock()
		lose()
		writer := blocked(rw.Lock)
		rw.RUnlock()
		synctest.Wait()
		rw.RUnlock()
		<-writer

		// The loss comes while readers wait behind the writer.
		first, second := blocked(rw.RLock), blocked(rw.RLock)
		lose()
		synctest.Wait()
		select {
		case <-first:
			t.Error("a reader beside a writer that owes its Unlock")
		default:
		}
		rw.Unlock()
		<-first
		<-second
		rw.RUnlock()
		rw.RUnlock()
		pass(rw)
	})
}

// Readers of all processes are inside at once: each stays until all are.
func TestReadersAreTogether(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const processes, each = 3, 3
		var inside, over sync.WaitGroup
		inside.Add(processes * each)
		for range processes {
			rw := cluster.Dial().RWMutex("rw")
			for i := range each {
				l := rw.RLocker()
				over.Go(func() {
					if i%2 == 0 {
						rw.RLock()
						defer rw.RUnlock()
					} else {
						l.Lock()
						defer l.Unlock()
					}
					inside.Done()
					inside.Wait()
				})
			}
		}
		over.Wait()
		mustNotBeHeld(t, cluster.Dial(), "rw")
	})
}

// A writer waits for every reader, of RLock and of RLocker, and keeps out those who come
// after it; they are let in together when it is done, and the next writer when they are.
func TestReadersAndWritersTakeTurns(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b, c := cluster.Dial().RWMutex("rw"), cluster.Dial().RWMutex("rw"), cluster.Dial().RWMutex("rw")
		for range 3 {
			var order []string
			var guard sync.Mutex
			note := func(s string) {
				guard.Lock()
				defer guard.Unlock()
				order = append(order, s)
			}
			var over, together sync.WaitGroup
			a.RLock()
			a.RLocker().Lock()
			over.Go(func() {
				b.Lock()
				note("writer")
				b.Unlock()
			})
			cluster.AwaitWaiters(client.KindLock, "rw", 1)
			together.Add(2)
			for i := range 2 {
				over.Go(func() {
					c.RLock()
					note("reader")
					together.Done()
					together.Wait()
					c.RUnlock()
				})
				cluster.AwaitWaiters(client.KindLock, "rw", 2+i)
			}
			over.Go(func() {
				a.Lock()
				note("last")
				a.Unlock()
			})
			cluster.AwaitWaiters(client.KindLock, "rw", 4)
			a.RLocker().Unlock()
			cluster.AwaitWaiters(client.KindLock, "rw", 4) // one reader is left
			cluster.KillLeader().Restart()
			if len(order) != 0 {
				t.Errorf("beside a reader: %v", order)
			}
			a.RUnlock()
			over.Wait()
			if got := fmt.Sprint(order); got != "[writer reader reader last]" {
				t.Errorf("in were %s", got)
			}
		}
	})
}

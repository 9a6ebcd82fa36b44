package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// In the manner of sync's own tests: many goroutines, of several processes, for real. An
// Unlock of what was lost panics, so no lease is to run out on a machine that stalls.
func TestHammerMutex(t *testing.T) {
	cluster := coordtest.New(t)
	const clients, workers, rounds = 3, 8, 50
	counter := 0 // guarded by the lock, and by nothing else that -race would not see
	var wg sync.WaitGroup
	for range clients {
		mu := cluster.Dial(client.WithTTL(time.Hour)).Mutex("m")
		for w := range workers {
			wg.Go(func() {
				for i := range rounds {
					if i%3 == 0 && w%2 == 0 {
						if !mu.TryLock() {
							mu.Lock()
						}
					} else {
						mu.Lock()
					}
					counter++
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if counter != clients*workers*rounds {
		t.Errorf("counted to %d", counter)
	}
}

func TestHammerRWMutex(t *testing.T) {
	cluster := coordtest.New(t)
	const clients, readers, writers, rounds = 3, 4, 2, 30
	var activity atomic.Int32 // 10,000 for a writer, 1 for a reader
	var wg sync.WaitGroup
	for range clients {
		rw := cluster.Dial(client.WithTTL(time.Hour)).RWMutex("rw")
		for range writers {
			wg.Go(func() {
				for range rounds {
					rw.Lock()
					if n := activity.Add(10_000); n != 10_000 {
						t.Errorf("wlock(%d)", n)
					}
					activity.Add(-10_000)
					rw.Unlock()
				}
			})
		}
		for range readers {
			wg.Go(func() {
				for range rounds {
					rw.RLock()
					if n := activity.Add(1); n < 1 || n >= 10_000 {
						t.Errorf("rlock(%d)", n)
					}
					activity.Add(-1)
					rw.RUnlock()
				}
			})
		}
	}
	wg.Wait()
}

func TestHammerSemaphore(t *testing.T) {
	cluster := coordtest.New(t)
	const clients, workers, rounds, limit = 3, 5, 30, 7
	var held atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		sem := cluster.Dial(client.WithTTL(time.Hour)).Semaphore("s", limit)
		for range workers {
			wg.Go(func() {
				for range rounds {
					n := 1 + rand.Int64N(limit)
					if err := sem.Acquire(t.Context(), n); err != nil {
						t.Error(err)
						return
					}
					if now := held.Add(n); now > limit {
						t.Errorf("%d held", now)
					}
					held.Add(-n)
					sem.Release(n)
				}
			})
		}
	}
	wg.Wait()
}

// Everything at once in virtual time, with cancels, losses, pauses and dead leaders; at
// the end nothing is held and nobody waits.
func TestHammerWithFaults(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const clients, workers, names = 4, 6, 3
		guards := make([]sync.Mutex, names) // what a fence does: late holders are told apart by token
		tokens := make([]client.Token, names)
		var cs []*client.Client
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range clients {
			c := cluster.Dial(client.WithTTL(3 * time.Second))
			cs = append(cs, c)
			for w := range workers {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(w), 1))
					for {
						select {
						case <-stop:
							return
						default:
						}
						n := r.IntN(names)
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(2000))*time.Millisecond)
						h, err := c.Mutex(fmt.Sprint("m", n)).LockContext(ctx)
						if err == nil {
							time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
							guards[n].Lock()
							if h.Err() == nil {
								if h.Token() < tokens[n] {
									t.Errorf("a later holder was here, and %v is not lost", h.Token())
								}
								tokens[n] = h.Token()
							}
							guards[n].Unlock()
							_ = h.Unlock(ctx)
						}
						cancel()
					}
				})
			}
		}
		for i := range 6 {
			time.Sleep(3 * time.Second)
			victim := cs[i%clients]
			switch i % 3 {
			case 0:
				cluster.KillLeader().Restart()
			case 1:
				cluster.Pause(victim)
				time.Sleep(time.Duration(i) * time.Second)
				cluster.Resume(victim)
			case 2:
				n := cluster.Leader()
				n.Pause()
				time.Sleep(time.Second)
				n.Resume()
			}
		}
		time.Sleep(5 * time.Second)
		close(stop)
		wg.Wait()
		time.Sleep(5 * time.Second) // what was given up in an outage ends with its lease
		for n := range names {
			wantHeld(t, cs[0], client.KindLock, fmt.Sprint("m", n), 0, 0)
		}
	})
}

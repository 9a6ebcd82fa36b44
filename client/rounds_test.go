package client_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A group is used again, round after round: nobody passes before the last Done, and everybody
// after it, also with a leader killed in between.
func TestWaitGroupRounds(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const n = 5
		main := cluster.Dial(client.WithTTL(time.Minute))
		gather, leave := main.WaitGroup("gather"), main.WaitGroup("leave")
		var of []*client.Client
		for range n {
			of = append(of, cluster.Dial(client.WithTTL(time.Minute)))
		}
		for round := range 4 {
			var left atomic.Int32
			var over sync.WaitGroup
			gather.Add(n)
			leave.Add(n)
			for _, c := range of {
				over.Go(func() {
					c.WaitGroup("gather").Done()
					c.WaitGroup("leave").Wait()
					left.Add(1)
				})
			}
			gather.Wait()
			cluster.AwaitWaiters(client.KindWaitGroup, "leave", n)
			if round == 1 {
				cluster.KillLeader().Restart()
			}
			for i := range n {
				synctest.Wait()
				if left.Load() != 0 {
					t.Fatalf("%d left with %d to come", left.Load(), n-i)
				}
				leave.Done()
			}
			over.Wait()
		}
	})
}

// Go counts what it starts, in whichever process and from within, and Add and Wait may race:
// a Wait that begins with something counted returns when all is done.
func TestWaitGroupGo(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial().WaitGroup("g"), cluster.Dial().WaitGroup("g")
		for range 10 {
			var ran atomic.Int32
			a.Add(1)
			a.Go(func() {
				b.Go(func() { ran.Add(1) })
				ran.Add(1)
			})
			b.Go(func() { a.Go(func() { ran.Add(1) }) })
			go a.Done()
			if b.Wait(); ran.Load() != 3 {
				t.Fatalf("it is over with %d of 3", ran.Load())
			}
		}
	})
}

// A Do whose function panicked, or never returned to it, was the one: others that waited for
// it, and later ones of any handle, run nothing and do not panic.
func TestOnceAfterPanic(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		for name, end := range map[string]func(){"panic": func() { panic("x") }, "Goexit": runtime.Goexit} {
			a, b := cluster.Dial().Once(name), cluster.Dial().Once(name)
			running, goOn := make(chan struct{}), make(chan struct{})
			var over sync.WaitGroup
			again := func() { t.Errorf("after a %s it runs again", name) }
			over.Go(func() {
				defer func() {
					if p := recover(); (p != nil) != (name == "panic") {
						t.Errorf("%s: panicked with %v", name, p)
					}
				}()
				a.Do(func() {
					close(running)
					<-goOn
					end()
				})
			})
			<-running
			over.Go(func() { a.Do(again) })
			over.Go(func() { b.Do(again) })
			cluster.AwaitWaiters(client.KindOnce, name, 1)
			close(goOn)
			over.Wait()
			a.Do(again)
			cluster.Dial().Once(name).Do(again)
		}
	})
}

// OnceFunc, OnceValue and OnceValues call once, for however many ask at the same time, and give
// its result, or its panic, each time and everywhere.
func TestOnceFunctions(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		clients := []*client.Client{cluster.Dial(), cluster.Dial(), cluster.Dial()}
		for name, make := range map[string]func(c *client.Client, calls *atomic.Int32) func() any{
			"func": func(c *client.Client, calls *atomic.Int32) func() any {
				f := client.OnceFunc(c, "func", func() { calls.Add(1) })
				return func() any { f(); return "" }
			},
			"value": func(c *client.Client, calls *atomic.Int32) func() any {
				f := client.OnceValue(c, "value", func() int32 { return calls.Add(1) })
				return func() any { return f() }
			},
			"values": func(c *client.Client, calls *atomic.Int32) func() any {
				f := client.OnceValues(c, "values", func() (int32, string) { return calls.Add(1), "v" })
				return func() any { n, s := f(); return fmt.Sprint(n, s) }
			},
			"func panics": func(c *client.Client, calls *atomic.Int32) func() any {
				return func() any { return panicOf(client.OnceFunc(c, "pf", func() { panic(calls.Add(1)) })) }
			},
			"value panics": func(c *client.Client, calls *atomic.Int32) func() any {
				f := client.OnceValue(c, "pv", func() int { panic(calls.Add(1)) })
				return func() any { return panicOf(func() { f() }) }
			},
			"values panics": func(c *client.Client, calls *atomic.Int32) func() any {
				f := client.OnceValues(c, "pvs", func() (int, error) { panic(calls.Add(1)) })
				return func() any { return panicOf(func() { _, _ = f() }) }
			},
		} {
			var calls atomic.Int32
			var guard sync.Mutex
			results := map[string]int{}
			var over sync.WaitGroup
			for _, c := range clients {
				f := make(c, &calls)
				for range 3 {
					over.Go(func() {
						for range 2 {
							r := fmt.Sprint(f())
							guard.Lock()
							results[r]++
							guard.Unlock()
						}
					})
				}
			}
			over.Wait()
			want := map[string]string{"func": "", "values": "1v"}
			w, ok := want[name]
			if !ok {
				w = "1"
			}
			if calls.Load() != 1 || len(results) != 1 || results[w] != 18 {
				t.Errorf("%s: called %d times, with results %v", name, calls.Load(), results)
			}
		}
	})
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

func TestWaitGroup(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial().WaitGroup("g"), cluster.Dial().WaitGroup("g")
		b.Wait() // nobody has added
		a.Add(2)
		over := false
		go func() {
			b.Wait()
			over = true
		}()
		cluster.AwaitWaiters(client.KindWaitGroup, "g", 1)
		b.Done()
		synctest.Wait()
		if over {
			t.Error("it is over with one left")
		}
		a.Done()
		synctest.Wait()
		if !over {
			t.Error("it is not over")
		}
		var ran atomic.Bool
		a.Go(func() { ran.Store(true) })
		b.Wait()
		if !ran.Load() {
			t.Error("Wait did not wait for Go")
		}
		if err := a.AddContext(t.Context(), -1); !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "negative") {
			t.Errorf("a negative counter: %v", err)
		}
		mustPanic(t, client.ErrInvalid, a.Done)
	})
}

// Who dies without its Done cuts the group: Waits, later ones too, say so.
func TestWaitGroupCutShort(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		dead, alive := cluster.Dial(), cluster.Dial()
		if err := dead.WaitGroup("g").GoContext(t.Context(), func(ctx context.Context) { <-ctx.Done() }); err != nil {
			t.Fatal(err)
		}
		alive.WaitGroup("g").Add(1)
		waited := make(chan error, 1)
		go func() { waited <- alive.WaitGroup("g").WaitContext(t.Context()) }()
		cluster.AwaitWaiters(client.KindWaitGroup, "g", 1)
		cluster.Expire(dead)
		cluster.Resume(dead) // its own late Done must not count for another's Add
		time.Sleep(time.Minute)
		select {
		case err := <-waited:
			t.Fatalf("it is over with one left: %v", err)
		default:
		}
		alive.WaitGroup("g").Done()
		if err := <-waited; !errors.Is(err, client.ErrCutShort) {
			t.Errorf("it ended with %v", err)
		}
		alive.WaitGroup("g").Done() // does nothing
		mustPanic(t, client.ErrCutShort, alive.WaitGroup("g").Wait)
		if d := must(alive.Describe(t.Context(), client.KindWaitGroup, "g"))(t); d.State != client.StateCut {
			t.Errorf("it is described as %+v", d)
		}
		if err := alive.Delete(t.Context(), client.KindWaitGroup, "g"); err != nil {
			t.Error(err)
		}
		alive.WaitGroup("g").Wait()
	})
}

func TestOnce(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		var ran atomic.Int32
		var wg sync.WaitGroup
		for range 3 {
			o := cluster.Dial().Once("o")
			for range 3 {
				wg.Go(func() {
					o.Do(func() {
						time.Sleep(time.Second)
						ran.Add(1)
					})
					if ran.Load() != 1 {
						t.Errorf("it returned when %d had run", ran.Load())
					}
				})
			}
		}
		wg.Wait()
	})
}

// A runner that dies is followed by another, and a late result is not accepted.
func TestOnceRunnerDies(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		dead, alive := cluster.Dial(), cluster.Dial()
		begun, tokens := 0, []client.Token{}
		f := func(c *client.Client) func(ctx context.Context, tok client.Token) (string, error) {
			return func(ctx context.Context, tok client.Token) (string, error) {
				begun++
				tokens = append(tokens, tok)
				if c == dead && begun == 1 {
					<-ctx.Done() // its session is over
					return "late", nil
				}
				return "right", nil
			}
		}
		late := make(chan string, 1)
		go func() { late <- must(client.OnceValueContext(dead, "o", f(dead))(t.Context()))(t) }()
		synctest.Wait()
		got := make(chan string, 1)
		go func() { got <- must(client.OnceValueContext(alive, "o", f(alive))(t.Context()))(t) }()
		cluster.AwaitWaiters(client.KindOnce, "o", 1)
		cluster.Expire(dead)
		if v := <-got; v != "right" {
			t.Errorf("the result is %q", v)
		}
		cluster.Resume(dead)
		if v := <-late; v != "right" {
			t.Errorf("the deposed runner has %q", v)
		}
		if begun != 2 || tokens[1] <= tokens[0] {
			t.Errorf("it began %d times, with tokens %v", begun, tokens)
		}
	})
}

// A panic is the result of the sync forms; an error leaves the Context forms undone.
func TestOncePanicsAndErrors(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		f := client.OnceFunc(a, "f", func() { panic("x") })
		for range 2 {
			if p := panicOf(f); fmt.Sprint(p) != "x" {
				t.Errorf("panicked with %v", p)
			}
		}
		if p := panicOf(client.OnceFunc(b, "f", func() { t.Error("it runs again") })); fmt.Sprint(p) != "x" {
			t.Errorf("elsewhere it panics with %v", p)
		}
		if p := panicOf(func() { a.Once("p").Do(func() { panic("y") }) }); fmt.Sprint(p) != "y" {
			t.Errorf("Do panicked with %v", p)
		}
		b.Once("p").Do(func() { t.Error("it runs again") })

		broken := errors.New("broken")
		once := b.Once("e")
		if err := once.DoContext(t.Context(), func(context.Context, client.Token) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("DoContext: %v", err)
		}
		ran := false
		if err := a.Once("e").DoContext(t.Context(), func(context.Context, client.Token) error { ran = true; return nil }); err != nil || !ran {
			t.Errorf("after an error: %v, ran %v", err, ran)
		}
		values := client.OnceValues(a, "v", func() (int, error) { return 7, broken })
		n, err := values()
		m, again := client.OnceValues(b, "v", func() (int, error) { return 8, nil })()
		if n != 7 || m != 7 || err == nil || again == nil || again.Error() != "broken" {
			t.Errorf("values %d %v, then %d %v", n, err, m, again)
		}
		if v := client.OnceValue(b, "one", func() string { return "s" })(); v != "s" {
			t.Errorf("value %q", v)
		}
	})
}

// Once known, the answer is local.
func TestOnceIsLocal(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		value := client.OnceValue(c, "o", func() int { return 1 })
		value()
		cluster.Pause(c)
		if value() != 1 {
			t.Error("another value")
		}
	})
}

func mustPanic(t *testing.T, want error, f func()) {
	t.Helper()
	err, _ := panicOf(f).(error)
	if !errors.Is(err, want) {
		t.Errorf("panicked with %v, want %v", err, want)
	}
}

package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"coordd.dev/client"
	"coordd.dev/coordtest"
	"coordd.dev/examples/internal/stage"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

func TestPlay(t *testing.T) {
	out := stagetest.Play(t)
	for _, want := range []string{"opens the breaker of all", "opens its breaker, as ", "probes", "closes the breaker of all"} {
		if !strings.Contains(out, want) {
			t.Errorf("it never says %q:\n%s", want, out)
		}
	}
}

// The breaker opens in one process and is open in all; while it is open one call at a time,
// once in each delay, reaches the backend; and a good one closes it in all.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 3)
		var ill atomic.Bool
		var calls, inside atomic.Int64
		backend := func(context.Context) error {
			calls.Add(1)
			if inside.Add(1) > 1 && ill.Load() {
				t.Error("two probe at the same time")
			}
			defer inside.Add(-1)
			time.Sleep(10 * time.Millisecond)
			if ill.Load() {
				return errIll
			}
			return nil
		}
		var all []*breaker
		for _, name := range []string{"a", "b", "c"} {
			b, stop := newBreaker(cluster.Dial(), stage.Part{Name: name, Run: "test", Say: func(string, ...any) {}})
			defer stop()
			all = append(all, b)
		}
		for _, b := range all {
			if err := b.do(t.Context(), backend); err != nil {
				t.Fatal(err)
			}
		}
		ill.Store(true)
		for range failures {
			if err := all[0].do(t.Context(), backend); !errors.Is(err, errIll) {
				t.Fatal(err)
			}
		}
		time.Sleep(50 * time.Millisecond) // the verdict gets around
		calls.Store(0)
		for i, b := range all {
			if err := b.do(t.Context(), backend); !errors.Is(err, circuitbreaker.ErrOpen) {
				t.Errorf("breaker %d: %v", i, err)
			}
		}
		if n := calls.Load(); n != 0 {
			t.Errorf("%d calls went through three open breakers", n)
		}

		const periods = 10
		until := time.Now().Add(periods * delay)
		var calling sync.WaitGroup
		for _, b := range all {
			calling.Go(func() {
				for time.Now().Before(until) {
					if err := b.do(t.Context(), backend); !errors.Is(err, errIll) && !errors.Is(err, circuitbreaker.ErrOpen) {
						t.Error(err)
					}
					time.Sleep(7 * time.Millisecond)
				}
			})
		}
		calling.Wait()
		if n := calls.Load(); n < periods-2 || n > periods {
			t.Errorf("%d probes in %v", n, periods*delay)
		}

		ill.Store(false)
		time.Sleep(delay)
		if err := all[2].do(t.Context(), backend); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Millisecond)
		for i, b := range all {
			if err := b.do(t.Context(), backend); err != nil {
				t.Errorf("breaker %d: %v", i, err)
			}
		}
	})
}

// A process that dies while it probes leaves the probe to another.
func TestProberDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		quiet := func(string, ...any) {}
		dying := cluster.Dial(client.WithTTL(ttl))
		a, stopA := newBreaker(dying, stage.Part{Name: "a", Run: "test", Say: quiet})
		defer stopA()
		b, stopB := newBreaker(cluster.Dial(), stage.Part{Name: "b", Run: "test", Say: quiet})
		defer stopB()
		for range failures {
			if err := a.do(t.Context(), func(context.Context) error { return errIll }); !errors.Is(err, errIll) {
				t.Fatal(err)
			}
		}
		time.Sleep(delay + 50*time.Millisecond)
		ended := make(chan error, 1)
		go func() {
			ended <- a.do(t.Context(), func(ctx context.Context) error {
				cluster.Pause(dying)
				<-ctx.Done()
				return context.Cause(ctx)
			})
		}()
		synctest.Wait()
		well := func(context.Context) error { return nil }
		if err := b.do(t.Context(), well); !errors.Is(err, circuitbreaker.ErrOpen) {
			t.Errorf("beside a's probe: %v", err)
		}
		time.Sleep(ttl + time.Second)
		if err := b.do(t.Context(), well); err != nil {
			t.Errorf("after a's probe: %v", err)
		}
		cluster.Resume(dying)
		if err := <-ended; !errors.Is(err, client.ErrLost) {
			t.Errorf("a's probe: %v", err)
		}
	})
}

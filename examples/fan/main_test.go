package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
	"coordd.dev/examples/internal/stage"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

func TestPlay(t *testing.T) {
	var squares []string
	for line := range strings.Lines(stagetest.Play(t)) {
		if n, _, ok := strings.Cut(line, " squared is "); ok {
			squares = append(squares, n)
		}
	}
	if got := strings.Join(squares, " "); got != "0 1 2 3 4 5 6 7 8 9 10 11" {
		t.Errorf("in the order %s", got)
	}
}

func quiet(name string) stage.Part {
	return stage.Part{Name: name, Run: "test", Say: func(string, ...any) {}}
}

// Results come out of order and are told in order, each once, although a worker dies with
// one in hand; and what is under way has a bound.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		doomed, stop := context.WithCancel(t.Context())
		var begun, told atomic.Int64
		disorder, before := 0, -1
		var mu sync.Mutex
		var running, dying sync.WaitGroup
		worker := func(ctx context.Context, group *sync.WaitGroup, c *client.Client, name string, slow time.Duration) {
			group.Go(func() {
				err := work(ctx, c, quiet(name), func(_ context.Context, n int) (string, error) {
					begun.Add(1)
					if name == "dies" && n > 10 {
						cluster.Pause(c)
					}
					time.Sleep(slow)
					mu.Lock()
					defer mu.Unlock()
					if n < before {
						disorder++
					}
					before = n
					return fmt.Sprint(n), nil
				})
				if (err == nil) == (name == "dies") {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		worker(t.Context(), &running, cluster.Dial(), "fast", 10*time.Millisecond)
		worker(t.Context(), &running, cluster.Dial(), "slow", time.Second)
		worker(doomed, &dying, cluster.Dial(client.WithTTL(time.Second)), "dies", 100*time.Millisecond)
		next := 0
		err := fan(t.Context(), cluster.Dial(), quiet("fan"), []string{"fast", "slow", "dies"}, 100, func(r result) {
			if r.N != next || r.Text != fmt.Sprint(next) {
				t.Errorf("%+v is told as number %d", r, next)
			}
			next++
			if n := begun.Load() - told.Add(1); n > window+1 { // one is begun twice
				t.Errorf("%d are under way", n)
			}
		})
		if err != nil || next != 100 || disorder == 0 {
			t.Errorf("%d are told, %d were out of order; %v", next, disorder, err)
		}
		running.Wait()
		stop() // it is still cut off
		dying.Wait()
	})
}

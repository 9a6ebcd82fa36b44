package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
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
	out := stagetest.Play(t)
	if !strings.Contains(out, "w2 is killed") || !strings.Contains(out, "all 12 jobs are done, each acknowledged once") {
		t.Error(out)
	}
}

// A worker that is cut off in the middle of a job loses it to another: each job is
// acknowledged once, and that one at the second attempt.
func TestDeadWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 3)
		var mu sync.Mutex
		said := make(map[string]int)
		part := func(name string) stage.Part {
			return stage.Part{Name: name, Run: "test", Say: func(format string, args ...any) {
				mu.Lock()
				defer mu.Unlock()
				said[fmt.Sprintf(format, args...)]++
			}}
		}
		const all = 100
		dead := cluster.Dial(client.WithTTL(ttl))
		stuck := make(chan int, 1)
		var working sync.WaitGroup
		working.Go(func() {
			err := work(t.Context(), dead, part("dead"), func(ctx context.Context, j job) error {
				stuck <- j.ID
				cluster.Pause(dead)
				time.Sleep(time.Minute) // and looks at no ctx
				cluster.Resume(dead)
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), "lost") {
				t.Errorf("who was cut off: %v", err)
			}
		})
		working.Go(func() {
			if err := feed(t.Context(), cluster.Dial(), part("feeder"), all); err != nil {
				t.Error(err)
			}
		})
		lost := <-stuck
		for i := range 3 {
			working.Go(func() {
				name := fmt.Sprint("w", i)
				err := work(t.Context(), cluster.Dial(), part(name), func(context.Context, job) error {
					time.Sleep(takes)
					return nil
				})
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		working.Wait()
		for id := range all {
			if n := said[fmt.Sprintf("did job %d", id+1)]; n != 1 {
				t.Errorf("job %d was acknowledged %d times", id+1, n)
			}
		}
		if said[fmt.Sprintf("begins job %d, attempt 2", lost)] != 1 {
			t.Errorf("job %d was not begun again", lost)
		}
	})
}

// A worker that is told to stop finishes its job.
func TestToldToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		c := cluster.Dial()
		var said []string
		p := stage.Part{Name: "w", Run: "test", Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
		if err := client.NewChan[job](c, "test/jobs", capacity).SendContext(t.Context(), job{7}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		err := work(ctx, c, p, func(ctx context.Context, _ job) error {
			stop()
			return ctx.Err()
		})
		if ctx.Err() == nil || err == nil || len(said) != 2 || said[1] != "did job 7" {
			t.Errorf("%v; it said %q", err, said)
		}
	})
}

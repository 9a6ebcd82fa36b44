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

	"coordd.dev/client"
	"coordd.dev/coordtest"
	"coordd.dev/examples/internal/stage"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

func TestPlay(t *testing.T) {
	out := stagetest.Play(t)
	for _, want := range []string{"b: call 1 is refused", "b: call 2 is refused", "3 permits are back", "b2: call 1 is answered", "b2: call 2 is answered"} {
		if !strings.Contains(out, want) {
			t.Errorf("it never says %q:\n%s", want, out)
		}
	}
}

// The backend never has more calls than the limit, not even while permits change hands from
// a process that is cut off; who is refused is refused at once; and the permits of who is cut
// off are free when its lease is over.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 3)
		var inside, most, refused, served atomic.Int64
		backend := func(takes time.Duration) func(context.Context) error {
			return func(ctx context.Context) error {
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				defer inside.Add(-1)
				select {
				case <-time.After(takes):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		gone := cluster.Dial(client.WithTTL(ttl))
		cut := newBulkhead(gone, stage.Part{Run: "test"})
		var running sync.WaitGroup
		for range limit {
			running.Go(func() {
				if err := cut.do(t.Context(), backend(time.Hour)); !errors.Is(err, client.ErrLost) {
					t.Errorf("who was cut off: %v", err)
				}
			})
		}
		synctest.Wait()
		cluster.Pause(gone)
		paused := time.Now()
		var first atomic.Int64 // nanoseconds until the first call of the others
		for range 4 {
			b := newBulkhead(cluster.Dial(), stage.Part{Run: "test"})
			for range 2 {
				running.Go(func() {
					for range 100 {
						start := time.Now()
						err := b.do(t.Context(), func(ctx context.Context) error {
							first.CompareAndSwap(0, int64(time.Since(paused)))
							return backend(20 * time.Millisecond)(ctx)
						})
						switch {
						case err == nil:
							served.Add(1)
						case !errors.Is(err, client.ErrBusy):
							t.Error(err)
						case time.Since(start) > 10*time.Millisecond:
							t.Errorf("refused after %v", time.Since(start))
						default:
							refused.Add(1)
							time.Sleep(70 * time.Millisecond)
						}
					}
				})
			}
		}
		running.Wait()
		if most.Load() != limit || refused.Load() == 0 || served.Load() == 0 {
			t.Errorf("at most %d at a time; %d refused, %d served", most.Load(), refused.Load(), served.Load())
		}
		if d := time.Duration(first.Load()); d > ttl+time.Second {
			t.Errorf("the permits were back after %v", d)
		}
	})
}

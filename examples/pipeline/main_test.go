package main

import (
	"context"
	"fmt"
	"slices"
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
	if out := stagetest.Play(t); !strings.HasSuffix(out, "add: the sum is 650\n") {
		t.Error(out)
	}
}

// A last stage that takes nothing holds the first back; when it goes on, everything comes,
// in order, and the end goes from first to last.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		ctx := t.Context()
		var sent atomic.Int64
		var mu sync.Mutex
		var ends []string
		part := func(name string) stage.Part {
			return stage.Part{Name: name, Run: "test", Say: func(format string, args ...any) {
				if strings.HasPrefix(format, "sent") {
					sent.Add(1)
				} else {
					mu.Lock()
					defer mu.Unlock()
					ends = append(ends, name+" "+fmt.Sprintf(format, args...))
				}
			}}
		}
		var running sync.WaitGroup
		running.Go(func() {
			if err := generate(ctx, cluster.Dial(), part("first"), 50); err != nil {
				t.Error(err)
			}
		})
		running.Go(func() {
			if err := square(ctx, cluster.Dial(), part("second")); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Minute)
		if n := sent.Load(); n != 2*capacity {
			t.Errorf("%d are on the way, with nobody at the end", n)
		}

		got := 0
		total, err := add(ctx, cluster.Dial(), part("last"), func(_ context.Context, e element) error {
			if got++; e.Seq != got || e.Value != got*got {
				t.Errorf("%+v is number %d", e, got)
			}
			time.Sleep(time.Second)
			if n := sent.Load(); n > int64(got+2*capacity+1) {
				t.Errorf("%d were sent when %d had come", n, got)
			}
			return nil
		})
		if err != nil || got != 50 || total != 42925 {
			t.Errorf("%d came, with the sum %d; %v", got, total, err)
		}
		running.Wait()
		if want := []string{
			"first closes its channel", "second has drained the numbers, and closes its channel", "last has drained the squares",
		}; !slices.Equal(ends, want) {
			t.Errorf("the end was %q", ends)
		}
	})
}

// A stage that dies with a number in hand is started again, and nothing is missing, nor
// counted twice.
func TestStageDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		ctx := t.Context()
		p := stage.Part{Name: "p", Run: "test", Say: func(string, ...any) {}}
		var running sync.WaitGroup
		running.Go(func() {
			if err := generate(ctx, cluster.Dial(), p, 20); err != nil {
				t.Error(err)
			}
		})
		dying := cluster.Dial(client.WithTTL(time.Second))
		running.Go(func() {
			if err := square(ctx, dying, p); err == nil {
				t.Error("the first life has seen the end")
			}
		})
		first := true
		total, err := add(ctx, cluster.Dial(), p, func(context.Context, element) error {
			if first {
				first = false
				time.Sleep(time.Minute) // until it stands with a number that it cannot pass on
				cluster.Pause(dying)
				running.Go(func() {
					if err := square(ctx, cluster.Dial(), p); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(time.Minute)
				cluster.Resume(dying)
			}
			return nil
		})
		if err != nil || total != 2870 {
			t.Errorf("the sum is %d; %v", total, err)
		}
		running.Wait()
	})
}

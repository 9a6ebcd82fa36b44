package main

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

	"coordd.dev/coordtest"
	"coordd.dev/examples/internal/stage"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

func TestPlay(t *testing.T) {
	out := stagetest.Play(t)
	ends := strings.Count(out, "\nthe answer is there after ") + strings.Count(out, "\nafter ")
	if ends != 3 { // which, depends on how fast the machine is
		t.Error(out)
	}
}

// Whatever time a caller has, it has an answer before that is over, or a refusal by which no
// time is lost; nobody works after it; and who has enough is never refused.
func TestNobodyWorksLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		serving, stop := context.WithCancel(t.Context())
		var deadline atomic.Pointer[time.Time]
		var steps sync.WaitGroup
		for _, s := range chain() {
			c := cluster.Dial()
			steps.Go(func() {
				p := stage.Part{Name: s.name, Run: "test", Say: func(string, ...any) {}}
				err := s.serve(serving, c, p, func(ctx context.Context, d time.Duration) error {
					mine, _ := ctx.Deadline()
					if callers := *deadline.Load(); mine.After(callers) {
						t.Errorf("%s thinks that it has %v more than its caller", s.name, mine.Sub(callers))
					}
					err := stage.Work(ctx, d)
					if late := time.Since(*deadline.Load()); late > 0 {
						t.Errorf("%s worked %v too long", s.name, late)
					}
					return err
				})
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		user := cluster.Dial()
		p := stage.Part{Name: "user", Run: "test"}
		answered, refused := 0, 0
		for budget := 20 * time.Millisecond; budget < 1200*time.Millisecond; budget += 20 * time.Millisecond {
			synctest.Wait() // all steps are ready
			start := time.Now()
			end := start.Add(budget)
			deadline.Store(&end)
			ctx, cancel := context.WithDeadline(t.Context(), end)
			err := ask(ctx, user, p, "shop")
			cancel()
			switch {
			case err == nil:
				answered++
			case errors.Is(err, errLate):
				refused++
				if left := time.Until(end); left <= 0 {
					t.Errorf("of %v: refused when it was too late", budget)
				}
			default:
				t.Errorf("of %v: %v", budget, err)
			}
			if enough := 3*takes + 3*handOver + 10*time.Millisecond; (err == nil) != (budget > enough) && budget != enough {
				t.Errorf("with %v: %v", budget, err)
			}
		}
		if answered == 0 || refused == 0 {
			t.Errorf("%d were answered, %d refused", answered, refused)
		}
		stop()
		steps.Wait()
	})
}

// Where everybody is busy a caller learns it soon.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		err := ask(ctx, cluster.Dial(), stage.Part{Name: "user", Run: "test"}, "shop")
		if d := time.Since(start); !errors.Is(err, errLate) || d > 2*handOver {
			t.Errorf("after %v: %v", d, err)
		}
		if !strings.Contains(fmt.Sprint(err), "nobody takes it") {
			t.Error(err)
		}
	})
}

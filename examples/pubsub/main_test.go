package main

import (
	"context"
	"errors"
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
	heard := make(map[string]string)
	for line := range strings.Lines(stagetest.Play(t)) {
		if who, what, ok := strings.Cut(strings.TrimSpace(line), ": has heard "); ok {
			heard[who] = what
		}
	}
	all := heard["s1"]
	if !strings.HasPrefix(all, "welcome ") || len(strings.Fields(all)) != 1+2*messages || heard["s2"] != all || heard["slow"] != all {
		t.Errorf("%q", heard)
	}
	if late := heard["late"]; late == "" || !strings.HasSuffix(all, " "+late) {
		t.Errorf("who came late heard %q of %q", late, all)
	}
}

// Every subscriber hears all that two publishers say, in one order: one that is slow, one
// that is cut off for longer than its session lives, and through a change of leaders. Nobody
// waits for them.
func TestEverybodyHearsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 50
		cluster := coordtest.NewCluster(t, 3)
		p := stage.Part{Run: "test", Say: func(format string, args ...any) { t.Errorf(format, args...) }}
		first := cluster.Dial()
		if err := publish(t.Context(), first, p, "news", "welcome"); err != nil {
			t.Fatal(err)
		}
		away := cluster.Dial(client.WithTTL(time.Second))
		heard := make([][]string, 3)
		var hearing, publishing sync.WaitGroup
		var fast atomic.Int64 // how many the first has heard
		for i, c := range []*client.Client{cluster.Dial(), cluster.Dial(), away} {
			hearing.Go(func() {
				err := subscribe(t.Context(), c, p, "news", func(_ context.Context, text string) error {
					heard[i] = append(heard[i], text)
					switch i {
					case 0:
						fast.Add(1)
					case 1:
						time.Sleep(time.Second)
					}
					if len(heard[i]) == 1+2*each {
						return errEnd
					}
					return nil
				})
				if !errors.Is(err, errEnd) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cluster.Pause(away)
		start := time.Now()
		for _, name := range []string{"a", "b"} {
			c := cluster.Dial()
			publishing.Go(func() {
				for i := range each {
					if err := publish(t.Context(), c, p, "news", fmt.Sprintf("%s%d", name, i)); err != nil {
						t.Error(err)
					}
					if err := publish(t.Context(), c, p, "sports", "nil:nil"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		cluster.KillLeader().Restart()
		publishing.Wait()
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("to publish took %v", d)
		}
		time.Sleep(5 * time.Second)
		if n := fast.Load(); n != 1+2*each {
			t.Errorf("the fast one waits for the others: it has heard %d", n)
		}
		cluster.Resume(away)
		hearing.Wait()
		if !slices.Equal(heard[0], heard[1]) || !slices.Equal(heard[0], heard[2]) {
			t.Errorf("they heard\n%q\n%q\n%q", heard[0], heard[1], heard[2])
		}
	})
}

// Who is slower than the cluster remembers is told so, and goes on with the latest.
func TestTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const remembered = 64 << 20 / (60 << 10)
		cluster := coordtest.New(t)
		c := cluster.Dial()
		told := 0
		p := stage.Part{Run: "test", Say: func(string, ...any) { told++ }}
		if err := publish(t.Context(), c, p, "news", "welcome"); err != nil {
			t.Fatal(err)
		}
		slow := cluster.Dial()
		large := strings.Repeat("x", 60<<10)
		var heard []string
		err := subscribe(t.Context(), slow, p, "news", func(ctx context.Context, text string) error {
			heard = append(heard, text)
			if text == "latest" {
				return errEnd
			}
			var many sync.WaitGroup
			for range 10 {
				many.Go(func() {
					for range remembered/10 + 2 {
						if err := publish(ctx, c, p, "novels", large); err != nil {
							t.Error(err)
						}
					}
				})
			}
			many.Wait()
			return publish(ctx, c, p, "news", "latest")
		})
		if !errors.Is(err, errEnd) || told != 1 || !slices.Equal(heard, []string{"welcome", "latest"}) {
			t.Errorf("%v; told %d times; heard %q", err, told, heard)
		}
	})
}

package client_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// Who is cut off before anything ever happened in the cluster goes on there, and misses nothing of
// what happens meanwhile.
func TestWatchCutBeforeAnythingHappened(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		away, c := cluster.Dial(), cluster.Dial()
		observer := observe(t, away.Election("e"))
		observer.begins()
		var mu sync.Mutex
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() {
			for ev, err := range client.NewMap[string, int](away, "m").Watch(ctx, 0) {
				if err != nil {
					return // it was stopped, or what was told is not enough
				}
				mu.Lock()
				told = append(told, fmt.Sprint(ev.Type, " ", ev.Key))
				mu.Unlock()
			}
		})
		time.Sleep(time.Second) // until it has heard where it is

		cluster.Pause(away)
		for _, value := range []string{"a", "b"} {
			if err := campaign(t, c.Election("e"), value).Resign(t.Context()); err != nil {
				t.Error(err)
			}
			client.NewMap[string, int](c, "m").Store(value, 1)
		}
		dead := cluster.KillLeader()
		cluster.Leader()
		cluster.Resume(away)
		time.Sleep(time.Minute)
		dead.Restart()

		const want = "a, vacant after a, b, vacant after b"
		if got := observer.saw(); got != want || observer.missed != 0 {
			t.Errorf("missed %d and saw\n%s, not\n%s", observer.missed, got, want)
		}
		cancel()
		watching.Wait()
		if got := strings.Join(told, ", "); got != "3 , 1 a, 1 b" {
			t.Errorf("of the map: %s", got)
		}
	})
}

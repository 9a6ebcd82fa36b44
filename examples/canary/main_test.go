package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

func part(name string) stage.Part {
	return stage.Part{Name: name, Run: "test", Say: func(string, ...any) {}}
}

// open is a replica with traffic, in which versions fail whose names end in "bad".
func open(t *testing.T, cluster *coordtest.Cluster, name string, newer *atomic.Int64) (r *replica, stop func()) {
	r = newReplica(cluster.Dial(client.WithTTL(lease)), part(name), func(to rollout) error {
		if strings.HasSuffix(to.Version, "bad") && to.Stage > 0 {
			return errors.New("it is bad")
		}
		return nil
	})
	idle := r.start(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	traffic.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for user := 0; ; user++ {
			select {
			case <-tick.C:
				for range 10 {
					if user += 7; r.serve("user " + strconv.Itoa(user)) {
						newer.Add(1)
					}
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return r, func() { cancel(); traffic.Wait(); idle() }
}

// follow returns the parts that a version has, in order, until it is decided about.
func follow(ctx context.Context, t *testing.T, rollouts *client.Map[string, rollout], version string) (parts []int) {
	t.Helper()
	for e, err := range rollouts.Watch(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != client.EventStored || e.Value.Version != version {
			continue
		}
		if p := e.Value.percent(); len(parts) == 0 || p != parts[len(parts)-1] {
			parts = append(parts, p)
		}
		if e.Value.State != rising {
			return parts
		}
	}
	return parts
}

// Whatever operator is killed, and wherever, a good version has one part after the other of
// the users and then all, and a bad one none of them.
func TestKilledAtEveryDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		reaper := stagetest.NewReaper(cluster)
		ctx, end := context.WithCancel(t.Context())
		var newer atomic.Int64
		var operators sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			_, stop := open(t, cluster, name, &newer)
			defer stop()
			c := cluster.Dial(client.WithTTL(lease))
			o := newOperator(c, stage.Part{Name: name, Run: "test", Say: reaper.Say(c)})
			operators.Go(func() {
				if err := o.run(ctx); !errors.Is(err, ctx.Err()) {
					t.Error(err)
				}
			})
		}
		rollouts := newOperator(cluster.Dial(), part("test")).rollouts
		rounds := 0
		for kind, want := range map[string][]int{"good": {5, 25, 50, 100}, "bad": {5, 25, 0}} {
			for fatal, killed := 1, true; killed; fatal++ {
				reaper.Next(fatal)
				version := fmt.Sprintf("killed-at-%d-%s", fatal, kind)
				rollouts.Store(service, rollout{Version: version})
				if got := follow(ctx, t, rollouts, version); !slices.Equal(got, want) {
					t.Errorf("%s: %v percent, not %v", version, got, want)
				}
				synctest.Wait()
				before := newer.Load()
				time.Sleep(100 * time.Millisecond)
				if n := newer.Load() - before; kind == "bad" && n > 0 || kind == "good" && n == 0 {
					t.Errorf("%s: %d requests to it when it is decided", version, n)
				}
				killed = reaper.Next(0)
				rounds++
			}
		}
		if rounds < 16 {
			t.Errorf("only %d rounds", rounds)
		}
		end()
		operators.Wait()
	})
}

// A replica that is cut off serves nobody with the new version when its lease is over, and
// then again when it hears.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		var newer atomic.Int64
		r, stop := open(t, cluster, "a", &newer)
		defer stop()
		serves := func() bool {
			before := newer.Load()
			time.Sleep(100 * time.Millisecond)
			return newer.Load() > before
		}
		newOperator(cluster.Dial(), part("test")).rollouts.Store(service, rollout{Version: "good", State: complete})
		synctest.Wait()
		if !serves() {
			t.Error("it does not serve")
		}
		cluster.Pause(r.client)
		time.Sleep(lease)
		if serves() {
			t.Error("it serves and is cut off")
		}
		cluster.Resume(r.client)
		time.Sleep(time.Minute)
		if !serves() {
			t.Error("it does not serve again")
		}
	})
}

// The story is told as the doc says.
func TestStory(t *testing.T) {
	got := stagetest.Play(t)
	for _, line := range []string{
		"operator-a: v2: 25%, since 0 of ", "operator-b: leads\n", "operator-b: v2: 50%, since 0 of ", "operator-b: v2: complete, since 0 of ",
		"operator-b: v3: 5%\n", "operator-b: v3: taken back, since ",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("it does not say %q:\n%s", line, got)
		}
	}
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"coordd.dev/client"
	"coordd.dev/coordtest"
	"coordd.dev/examples/internal/stage"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

// open starts every service twice.
func open(ctx context.Context, t *testing.T, cluster *coordtest.Cluster, reaper *stagetest.Reaper) (wait func()) {
	var ended sync.WaitGroup
	for range 2 {
		for name := range services() {
			c := cluster.Dial(client.WithTTL(lease))
			s := newService(c, stage.Part{Name: name, Run: "test", Say: reaper.Say(c)}, name)
			ended.Go(func() {
				if err := s.run(ctx); !errors.Is(err, ctx.Err()) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	return ended.Wait
}

// Whatever service is killed, and wherever, each order ends as it should, nothing is done
// twice, and what was done is undone in reverse.
func TestKilledAtEveryEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		reaper := stagetest.NewReaper(cluster)
		ctx, stop := context.WithCancel(t.Context())
		wait := open(ctx, t, cluster, reaper)
		customer := cluster.Dial()
		want := map[string][]fact{}
		for _, c := range []struct {
			count int
			facts []fact // in order
		}{
			{2, []fact{accepted, charged, taken, completed}},
			{9, []fact{accepted, charged, refused, refunded, cancelled}},
			{99, []fact{accepted, declined, cancelled}},
		} {
			for fatal, killed := 1, true; killed; fatal++ {
				reaper.Next(fatal)
				id := fmt.Sprintf("%d killed at %d", c.count, fatal)
				end, err := place(ctx, customer, stage.Part{Name: id, Run: "test"}, c.count)
				if err != nil || end.What != c.facts[len(c.facts)-1] {
					t.Fatalf("order of %s: %v, %v", id, end, err)
				}
				synctest.Wait() // until whoever ended it has acknowledged, or is cut off
				want[id], killed = c.facts, reaper.Next(0)
			}
		}
		if n := len(want); n < 4+5+3 {
			t.Errorf("only %d rounds", n)
		}
		stop()
		wait()
		check(t, customer, want)
	})
}

// check compares what the services did, in the order in which they did it.
func check(t *testing.T, c *client.Client, want map[string][]fact) {
	var did []client.Entry[string, event]
	for name := range services() {
		for e, err := range newService(c, stage.Part{Run: "test"}, name).done.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			did = append(did, e)
		}
	}
	slices.SortFunc(did, func(a, b client.Entry[string, event]) int { return cmp.Compare(a.Revision, b.Revision) })
	got := map[string][]fact{}
	for _, e := range did {
		got[e.Value.Order] = append(got[e.Value.Order], e.Value.What)
	}
	for id := range want {
		if !slices.Equal(got[id], want[id]) {
			t.Errorf("order of %s: %q happened, not %q", id, got[id], want[id])
		}
	}
}

// The story is told as the doc says. The payment service is killed once it has charged eve; on
// a busy machine it may have refunded her by then, too.
func TestStory(t *testing.T) {
	got := stagetest.Play(t)
	for _, line := range []string{
		"ann: it is completed", "payment: bob: refunded", "bob: it is cancelled: so many are not left",
		"payment is killed", "(payment|payment-2): eve: refunded", "eve: it is cancelled",
	} {
		if !regexp.MustCompile(line).MatchString(got) {
			t.Errorf("it does not say %q:\n%s", line, got)
		}
	}
}

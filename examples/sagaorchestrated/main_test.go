package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"coordd.dev/client"
	"coordd.dev/coordtest"
	"coordd.dev/examples/internal/stage"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

// A shop has every service and the orchestrator twice, as processes that can be killed: the
// one that says a given line is cut off then, whatever it was about to do.
type shop struct {
	cluster *coordtest.Cluster
	ended   sync.WaitGroup

	mu    sync.Mutex
	lines int // that were said in this round
	fatal int // the line that is the last of whoever says it
	dead  *client.Client
}

func (s *shop) part(c *client.Client, name string) stage.Part {
	return stage.Part{Name: name, Run: "test", Say: func(string, ...any) {
		if c == nil {
			return // nobody is to die of it
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lines++; s.lines == s.fatal {
			s.dead = c
			s.cluster.Pause(c)
		}
	}}
}

func (s *shop) open(ctx context.Context, t *testing.T) {
	run := func(name string, of func(*client.Client, stage.Part) func(context.Context) error) {
		c := s.cluster.Dial(client.WithTTL(lease))
		play := of(c, s.part(c, name))
		s.ended.Go(func() {
			if err := play(ctx); !errors.Is(err, ctx.Err()) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	for range 2 {
		run("orchestrator", func(c *client.Client, p stage.Part) func(context.Context) error { return newOrchestrator(c, p).run })
		for name := range services() {
			run(name, func(c *client.Client, p stage.Part) func(context.Context) error { return newService(c, p, name).run })
		}
	}
}

// next begins a round, in which the given line is fatal, and reports whether the one before
// had a fatal one.
func (s *shop) next(fatal int) (killed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead != nil {
		s.cluster.Resume(s.dead) // what it sent is delivered now, late
	}
	killed = s.dead != nil
	s.lines, s.fatal, s.dead = 0, fatal, nil
	return killed
}

// Whatever process is killed, and wherever, each order ends as it should, with no step
// forgotten and none done twice, and compensation in reverse.
func TestKilledAtEveryStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{cluster: coordtest.New(t)}
		ctx, stop := context.WithCancel(t.Context())
		s.open(ctx, t)
		customer := s.cluster.Dial()
		want := map[string][]string{}
		for _, c := range []struct {
			count int
			state state
			steps []string // their verbs, in order
		}{
			{2, done, []string{"accept 2", "charge 2", "take 2"}},
			{9, undone, []string{"accept 9", "charge 9", "take 0", "refund -9", "cancel -9"}},
			{99, undone, []string{"accept 99", "charge 0", "cancel -99"}},
		} {
			for fatal, killed := 1, true; killed; fatal++ {
				s.next(fatal)
				id := fmt.Sprintf("%d killed at %d", c.count, fatal)
				end, err := place(ctx, customer, s.part(nil, id), order{c.count, "lamps"})
				if err != nil || end.State != c.state {
					t.Fatalf("order of %s: %v, %v", id, end, err)
				}
				want[id], killed = c.steps, s.next(0)
				if fatal > 100 {
					t.Fatal("there is no end of it")
				}
			}
		}
		if n := len(want); n < 25 {
			t.Errorf("only %d rounds", n)
		}
		stop()
		s.ended.Wait()
		s.check(t, customer, want)
	})
}

// check compares what the services did, in the order in which they did it.
func (s *shop) check(t *testing.T, c *client.Client, want map[string][]string) {
	var did []client.Entry[string, effect]
	for name := range services() {
		for e, err := range newService(c, s.part(nil, name), name).done.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			did = append(did, e)
		}
	}
	slices.SortFunc(did, func(a, b client.Entry[string, effect]) int { return cmp.Compare(a.Revision, b.Revision) })
	got := map[string][]string{}
	for _, e := range did {
		id, verb, _ := strings.Cut(e.Key, ": ")
		got[id] = append(got[id], fmt.Sprint(verb, " ", e.Value.Count))
	}
	for id := range want {
		if !slices.Equal(got[id], want[id]) {
			t.Errorf("order of %s: %q was done, not %q", id, got[id], want[id])
		}
	}
	t.Logf("%d orders", len(want))
}

// The story is told as the doc says.
func TestStory(t *testing.T) {
	got := stagetest.Play(t)
	for _, line := range []string{
		"ann: the order is done", "bob: the order is undone no 9 lamps are left", "payment: bob: refund: done",
		"order of eve: asks payment to charge", "orchestrator-b: leads", "eve: the order is done",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("it does not say %q:\n%s", line, got)
		}
	}
}

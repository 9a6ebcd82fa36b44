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
	"coordd.dev/test/otlp"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

// part is one that nobody dies of.
func part(name string) stage.Part {
	return stage.Part{Name: name, Run: "test", Say: func(string, ...any) {}}
}

// open starts every service and the orchestrator, each twice.
func open(ctx context.Context, t *testing.T, cluster *coordtest.Cluster, reaper *stagetest.Reaper) (wait func()) {
	var ended sync.WaitGroup
	run := func(name string, of func(*client.Client, stage.Part) func(context.Context) error) {
		c := cluster.Dial(client.WithTTL(lease))
		play := of(c, stage.Part{Name: name, Run: "test", Say: reaper.Say(c)})
		ended.Go(func() {
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
	return ended.Wait
}

// Whatever process is killed, and wherever, each order ends as it should, with no step
// forgotten and none done twice, and compensation in reverse.
func TestKilledAtEveryStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		reaper := stagetest.NewReaper(cluster)
		ctx, stop := context.WithCancel(t.Context())
		wait := open(ctx, t, cluster, reaper)
		customer := cluster.Dial()
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
				reaper.Next(fatal)
				id := fmt.Sprintf("%d killed at %d", c.count, fatal)
				end, err := place(ctx, customer, part(id), order{c.count, "lamps"})
				if err != nil || end.State != c.state {
					t.Fatalf("order of %s: %v, %v", id, end, err)
				}
				want[id], killed = c.steps, reaper.Next(0)
				if fatal > 100 {
					t.Fatal("there is no end of it")
				}
			}
		}
		if n := len(want); n < 25 {
			t.Errorf("only %d rounds", n)
		}
		stop()
		wait()
		check(t, customer, want)
	})
}

// check compares what the services did, in the order in which they did it.
func check(t *testing.T, c *client.Client, want map[string][]string) {
	var did []client.Entry[string, effect]
	for name := range services() {
		for e, err := range newService(c, part(name), name).done.All(t.Context()) {
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

// The story is told as the doc says, and each order is one trace: of the customer, of every
// service, and of whichever orchestrator led it.
func TestStory(t *testing.T) {
	collector := otlp.New(t)
	for _, pair := range collector.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		t.Setenv(key, value)
	}
	got := stagetest.Play(t)
	for _, line := range []string{
		"ann: the order is done", "bob: the order is undone: no 9 lamps are left", "payment: bob: refund: done",
		"order of eve: asks payment to charge", "orchestrator-b: leads", "eve: the order is done",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("it does not say %q:\n%s", line, got)
		}
	}
	collector.Await(func(spans []otlp.Span) error {
		return errors.Join(
			inTrace(spans, "ann", "orchestrator-a", "accept charge take"),
			inTrace(spans, "bob", "", "accept charge take refund cancel"), // by one that may be killed before it told
			inTrace(spans, "eve", "orchestrator-b", "charge take"),        // accepted before
		)
	})
}

// inTrace says what is missing in the trace of a customer's order: the orchestrator's way to
// its end, the channels on it, and what the services did, below it. Of an orchestrator "" only
// what the services did.
func inTrace(spans []otlp.Span, customer, orchestrator, verbs string) error {
	i := slices.IndexFunc(spans, func(s otlp.Span) bool { return s.Name == "order" && s.Resource["service.name"] == customer })
	if i < 0 {
		return fmt.Errorf("order of %s: no span", customer)
	}
	root := spans[i]
	var errs []error
	find := func(service, name, parent string) string {
		for _, s := range otlp.Of(spans, name) {
			if s.TraceID == root.TraceID && (s.Parent == parent || parent == "") && s.Resource["service.name"] == service && s.Error == "" {
				return s.ID
			}
		}
		errs = append(errs, fmt.Errorf("order of %s: no span %s of %s", customer, name, service))
		return ""
	}
	saga := ""
	if orchestrator != "" {
		saga = find(orchestrator, "saga", root.ID)
		find(orchestrator, "coord.send", saga)
		find(orchestrator, "coord.receive", saga)
	}
	for _, is := range steps() {
		for _, verb := range []string{is.do, is.undo} {
			if strings.Contains(verbs, verb) {
				find(is.service, "coord.send", find(is.service, verb, saga))
			}
		}
	}
	return errors.Join(errs...)
}

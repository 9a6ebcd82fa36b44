package main

import (
	"context"
	"strings"
	"testing"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// What only programs make is described and explained too: a once that runs, that is waited for
// and that is done, and a cond with who waits for a signal.
func TestOncesAndCondsAreExplained(t *testing.T) {
	cluster := coordtest.New(t)
	c, other := cluster.Dial(client.WithName("runner")), cluster.Dial(client.WithName("waiter"))
	said := func(args ...string) string {
		t.Helper()
		out, err := coordctl(cluster.Target(), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	wants := func(out string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("does not say %q:\n%s", w, out)
			}
		}
	}

	begun, end, both := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	f := func(context.Context, client.Token) error { close(begun); <-end; return nil }
	go func() { both <- c.Once("init").DoContext(t.Context(), f) }()
	<-begun
	go func() { both <- other.Once("init").DoContext(t.Context(), f) }()
	cluster.AwaitWaiters(client.KindOnce, "init", 1)
	wants(said("describe", "once", "init"), "runner", "waiter")
	wants(said("explain", "once", "init"), "(runner) runs its function", "1 waits; first is", "(waiter), which has waited")
	wants(said("get", "onces"), "init", "runner")
	close(end)
	for range cap(both) {
		if err := <-both; err != nil {
			t.Fatal(err)
		}
	}
	wants(said("explain", "once", "init"), "done", "coordctl delete once init")

	mu := other.Mutex("m")
	ready := other.Cond("ready", mu)
	woken := make(chan struct{})
	go func() {
		defer close(woken)
		mu.Lock()
		defer mu.Unlock()
		ready.Wait()
	}()
	cluster.AwaitWaiters(client.KindCond, "ready", 1)
	wants(said("describe", "cond", "ready"), "waiter")
	wants(said("explain", "cond", "ready"), "1 waits; first is", "(waiter)", "goes on after a signal")
	wants(said("get", "conds"), "ready")
	ready.Signal()
	<-woken
}

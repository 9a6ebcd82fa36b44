package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/test/daemons"
)

// loaders is how many workers there are, each with a mutex of its own and a counter in a map
// that all share.
const loaders = 8

// A load takes a lock, adds one to a counter under it, and lets go, again and again. It
// notes the longest that one round took.
type load struct {
	client *client.Client
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	rounds  [loaders]int
	longest time.Duration
	err     error
	moved   chan struct{} // closed and made anew at each round
}

func startLoad(ctx context.Context, t *testing.T, target string) *load {
	t.Helper()
	c, err := client.Dial(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{client: c, moved: make(chan struct{})}
	ctx, l.stop = context.WithCancel(ctx)
	for i := range loaders {
		l.done.Go(func() { l.work(ctx, i) })
	}
	return l
}

// work is one worker. What it does is what a user does: it leaves an outage to the client,
// and takes every error for a failure.
func (l *load) work(ctx context.Context, i int) {
	name := fmt.Sprintf("rolling-%d", i)
	mutex := l.client.Mutex(name)
	counters := client.NewMap[string, int](l.client, "rolling")
	for ctx.Err() == nil {
		began := time.Now()
		err := mutex.Do(context.WithoutCancel(ctx), func(ctx context.Context, _ client.Token) error {
			n, _, err := counters.LoadContext(ctx, name)
			if err != nil {
				return err
			}
			return counters.StoreContext(ctx, name, n+1)
		})
		took := time.Since(began)
		l.mu.Lock()
		if err != nil {
			l.err = errors.Join(l.err, fmt.Errorf("%s: round %d, after %v: %w", name, l.rounds[i]+1, took, err))
			l.mu.Unlock()
			return
		}
		l.rounds[i]++
		l.longest = max(l.longest, took)
		close(l.moved)
		l.moved = make(chan struct{})
		l.mu.Unlock()
	}
}

// go on waits until every worker has done some more rounds.
func (l *load) goesOn(ctx context.Context, t *testing.T) {
	t.Helper()
	l.mu.Lock()
	from := l.rounds
	l.mu.Unlock()
	for {
		l.mu.Lock()
		moved, err := l.moved, l.err
		ahead := true
		for i := range loaders {
			ahead = ahead && l.rounds[i] >= from[i]+20
		}
		l.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if ahead {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			t.Fatalf("the load stands still: %v, at first %v", l.rounds, from)
		}
	}
}

// gap takes the longest round since it was last asked.
func (l *load) gap() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.longest
	l.longest = 0
	return d.Round(time.Millisecond)
}

// finish stops the workers and holds what they were told against what the cluster has.
func (l *load) finish(ctx context.Context, t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	if l.err != nil {
		t.Error(l.err)
	}
	counters := client.NewMap[string, int](l.client, "rolling")
	for i := range loaders {
		got, _, err := counters.LoadContext(ctx, fmt.Sprintf("rolling-%d", i))
		if err != nil || got != l.rounds[i] {
			t.Errorf("worker %d did %d rounds, the cluster has %d (%v)", i, l.rounds[i], got, err)
		}
	}
	if err := l.client.Close(); err != nil {
		t.Error(err)
	}
}

// TestRolling restarts every node of a cluster under load, the leader among them, and then
// replaces each by a new one: nothing that was acknowledged is lost, and no operation fails.
func TestRolling(t *testing.T) {
	ctx := bounded(t)
	c := cluster(ctx, t)
	l := startLoad(ctx, t, c.Target())
	l.goesOn(ctx, t)
	t.Logf("quiet: the longest round took %v", l.gap())
	for _, n := range slices.Clone(c.Nodes()) {
		what := restart(ctx, t, c, n)
		l.goesOn(ctx, t)
		t.Logf("%s: the longest round took %v", what, l.gap())
	}
	for _, n := range slices.Clone(c.Nodes()) {
		replace(ctx, t, c, n)
		l.goesOn(ctx, t)
		t.Logf("%s replaced: the longest round took %v", n.Name, l.gap())
	}
	l.finish(ctx, t)
}

// restart ends a node with SIGTERM and starts it again. A leader hands over before it ends:
// the term after it is that of a transfer, the very next one.
func restart(ctx context.Context, t *testing.T, c *daemons.Cluster, n *daemons.Node) (what string) {
	t.Helper()
	before, err := n.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Terminate(); err != nil {
		t.Fatal(err)
	}
	what = n.Name + " restarted"
	if before.GetLeading() {
		what += " while it led"
		next, err := c.Leader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		after, err := next.Status(ctx)
		if err != nil || after.GetTerm() != before.GetTerm()+1 {
			t.Errorf("term %d came after %d: leadership was not handed over (%v)", after.GetTerm(), before.GetTerm(), err)
		}
		log, err := os.ReadFile(n.Log())
		if err != nil || strings.Contains(string(log), "hand over leadership") {
			t.Errorf("the leader could not hand over (%v)", err)
		}
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return what
}

// replace puts a new node in the place of one, as an operator does.
func replace(ctx context.Context, t *testing.T, c *daemons.Cluster, n *daemons.Node) {
	t.Helper()
	next, err := c.Add(n.Name + "b")
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	if err := next.AwaitServing(ctx); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, coordctl(), "--endpoints", c.Target(), "--timeout", "30s", "member", "replace", n.Peer, next.Peer)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	if err := n.Terminate(); err != nil {
		t.Fatal(err)
	}
	c.Drop(n)
	if err := next.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

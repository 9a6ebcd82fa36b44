package enginetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/raftstore"
)

// patience is how long anything may take that must happen.
const patience = 30 * time.Second

// A node is one life of a node.
type node struct {
	number  int
	machine *history
	engine  raftstore.Engine
	log     *raftstore.Log
}

// A harness is a cluster, and what callers were told.
type harness struct {
	t       *testing.T
	cluster Cluster
	nodes   []*node // nil: not running
	began   time.Time

	mu    sync.Mutex
	told  map[string]outcome
	calls int
}

// An outcome is what a caller was told of a command.
type outcome struct {
	place int
	err   error
}

func newHarness(t *testing.T, factory func(*testing.T, int) Cluster) *harness {
	return &harness{t: t, cluster: factory(t, 3), nodes: make([]*node, 3), began: time.Now(), told: make(map[string]outcome)}
}

// startAll starts all nodes and stops them at the end of the test.
func (h *harness) startAll() {
	h.t.Cleanup(h.stopAll)
	for i := range h.nodes {
		h.start(i)
	}
}

func (h *harness) start(i int) *node {
	h.t.Helper()
	n := &node{number: i, machine: newHistory()}
	engine, err := h.cluster.Start(i, n.machine)
	if err != nil {
		h.t.Fatalf("start node %d: %v", i, err)
	}
	n.engine = engine
	n.log = raftstore.NewLog(engine, raftstore.Config{})
	h.nodes[i] = n
	return n
}

// kill kills a node under its log, as a crash would.
func (h *harness) kill(i int) {
	n := h.nodes[i]
	h.nodes[i] = nil
	h.cluster.Kill(i)
	_ = n.log.Close() // never fails
}

func (h *harness) stopAll() {
	for i, n := range h.nodes {
		if n == nil {
			continue
		}
		h.nodes[i] = nil
		if err := errors.Join(n.log.Close(), n.engine.Close()); err != nil {
			h.t.Errorf("stop node %d: %v", i, err)
		}
	}
}

// leader waits for a node that leads, other than those named.
func (h *harness) leader(but ...int) *node {
	h.t.Helper()
	deadline := time.After(patience)
	for {
		cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(deadline)}}
		for i, n := range h.nodes {
			if n == nil || slices.Contains(but, i) {
				continue
			}
			lead, changed := n.log.Leadership()
			if lead.Leading {
				return n
			}
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(changed)})
		}
		if chosen, _, _ := reflect.Select(cases); chosen == 0 {
			h.t.Fatalf("no leader for %v", patience)
		}
	}
}

// command returns a new command.
func (h *harness) command() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	return fmt.Sprintf("c%d", h.calls)
}

func (h *harness) tell(command string, result any, err error) outcome {
	h.mu.Lock()
	defer h.mu.Unlock()
	place, _ := result.(int)
	o := outcome{place, err}
	if _, twice := h.told[command]; twice {
		h.t.Errorf("%s: answered twice", command)
	}
	h.told[command] = o
	return o
}

// propose proposes a new command and waits.
func (h *harness) propose(ctx context.Context, n *node) outcome {
	command := h.command()
	_, result, err := n.log.Propose(ctx, []byte(command))
	return h.tell(command, result, err)
}

// must proposes a command that has to succeed.
func (h *harness) must(n *node) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	if o := h.propose(ctx, n); o.err != nil {
		h.t.Fatalf("propose on node %d: %v", n.number, o.err)
	}
}

// settle waits until all running nodes have the same history, and holds it against
// what was told.
func (h *harness) settle() {
	h.t.Helper()
	h.mu.Lock()
	h.mu.Unlock()
	var leader *node
	for {
		leader = h.leader()
		ctx, cancel := context.WithTimeout(h.t.Context(), patience)
		o := h.propose(ctx, leader)
		cancel()
		if o.err == nil {
			break
		}
	}
	want := leader.machine.now()
	for _, n := range h.nodes {
		if n != nil {
			h.await(n, len(want.Commands))
			h.compare(n, want.Commands)
		}
	}
	h.check(want.Commands)
	if passed := time.Since(h.began); want.Clock > passed {
		h.t.Errorf("the increments add up to %v in %v", want.Clock, passed)
	}
}

// await waits until a node has applied so many commands.
func (h *harness) await(n *node, length int) {
	h.t.Helper()
	deadline := time.After(patience)
	for {
		got, changed := n.machine.length.Get()
		if got >= length {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			h.t.Fatalf("node %d has applied %d of %d commands after %v", n.number, got, length, patience)
		}
	}
}

func (h *harness) compare(n *node, want []string) {
	h.t.Helper()
	got := n.machine.now().Commands
	if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
		h.t.Fatalf("history of node %d differs (-leader +node):\n%s", n.number, diff)
	}
}

// check holds a history against what callers were told.
func (h *harness) check(commands []string) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	places := make(map[string]int)
	for i, c := range commands {
		if first, twice := places[c]; twice {
			h.t.Errorf("%s was applied twice: %d, %d", c, first, i)
		}
		places[c] = i
	}
	for c, o := range h.told {
		place, applied := places[c]
		switch {
		case o.err == nil && (!applied || place != o.place):
			h.t.Errorf("%s succeeded at %d, and is applied: %v, at %d", c, o.place, applied, place)
		case o.err != nil && !errors.Is(o.err, raftstore.ErrUnknown) && applied:
			h.t.Errorf("%s was refused with %v, and is applied at %d", c, o.err, place)
		}
	}
}

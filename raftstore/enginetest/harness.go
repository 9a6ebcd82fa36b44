package enginetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/raftstore"
)

// patience is how long anything may take that must happen.
const patience = time.Minute

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
	bubble  bool    // time is free
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

func newHarness(t *testing.T, cluster Cluster, nodes int, bubble bool) *harness {
	return &harness{
		t:       t,
		cluster: cluster,
		bubble:  bubble,
		nodes:   make([]*node, nodes),
		began:   time.Now(),
		told:    make(map[string]outcome),
	}
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
	h.put(i, n)
	return n
}

// put makes n the present life of node i; nil is none.
func (h *harness) put(i int, n *node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodes[i] = n
}

// running returns the nodes that run.
func (h *harness) running() []*node {
	h.mu.Lock()
	defer h.mu.Unlock()
	var nodes []*node
	for _, n := range h.nodes {
		if n != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// kill kills a node under its log, as a crash would.
func (h *harness) kill(i int) {
	n := h.nodes[i]
	h.put(i, nil)
	h.cluster.Kill(i)
	_ = n.log.Close() // never fails
}

func (h *harness) stopAll() {
	for _, n := range h.running() {
		h.put(n.number, nil)
		if err := errors.Join(n.log.Close(), n.engine.Close()); err != nil {
			h.t.Errorf("stop node %d: %v", n.number, err)
		}
	}
}

// leader waits for a node that leads, other than those named.
func (h *harness) leader(but ...int) *node {
	h.t.Helper()
	return h.leaderUnless(nil, func(n *node, _ uint64) bool { return !slices.Contains(but, n.number) })
}

// leaderUnless waits for a node that leads, in a term, and will do. It is nil if
// something comes from stop first.
func (h *harness) leaderUnless(stop <-chan *node, do func(n *node, term uint64) bool) *node {
	h.t.Helper()
	receive := func(from any) reflect.SelectCase {
		return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(from)}
	}
	deadline := time.After(patience)
	for {
		cases := []reflect.SelectCase{receive(deadline), receive(stop)}
		for _, n := range h.running() {
			lead, changed := n.log.Leadership()
			if lead.Leading && do(n, lead.Term) {
				return n
			}
			cases = append(cases, receive(changed))
		}
		switch chosen, _, _ := reflect.Select(cases); chosen {
		case 0:
			h.t.Fatalf("no leader for %v", patience)
		case 1:
			return nil
		}
	}
}

// steadily does something that needs one leader to stay, with another one if do says
// that this one did not. In a bubble nothing stalls, so there the first has to.
func (h *harness) steadily(do func(leader *node) error) {
	h.t.Helper()
	for began := time.Now(); ; {
		err := do(h.leader())
		switch {
		case err == nil:
			return
		case !h.deposed(err):
			h.t.Fatalf("with one leader: %v", err)
		case time.Since(began) > patience:
			h.t.Fatalf("no leader stays in %v: %v", patience, err)
		}
	}
}

// deposed reports whether an error is what a leader says that stalled for longer than an
// election takes, which where time is not free is nobody's fault. What it says of a
// command, settle holds it to.
func (h *harness) deposed(err error) bool {
	return !h.bubble && (errors.Is(err, raftstore.ErrNotLeader) || errors.Is(err, raftstore.ErrUnknown))
}

// reign is the term in which a node leads, 0 if it does not.
func (n *node) reign() uint64 {
	if lead, _ := n.log.Leadership(); lead.Leading {
		return lead.Term
	}
	return 0
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

// submit submits a new command and returns it.
func (h *harness) submit(n *node, done func(outcome)) string {
	command := h.command()
	n.log.Submit([]byte(command), 0, raftstore.Ordinary, func(_ uint64, result any, err error) {
		done(h.tell(command, result, err))
	})
	return command
}

// load proposes on whatever node leads, from several callers, until stop is called.
func (h *harness) load() (stop func()) {
	ctx, cancel := context.WithCancel(h.t.Context())
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				for _, n := range h.running() {
					if lead, _ := n.log.Leadership(); lead.Leading {
						h.propose(h.t.Context(), n)
					}
				}
				h.pause(ctx)
			}
		})
	}
	return func() {
		cancel()
		callers.Wait()
	}
}

// pause lets time pass: in a bubble, where none does while somebody can run, by some;
// elsewhere the disks see to it.
func (h *harness) pause(ctx context.Context) {
	if !h.bubble {
		runtime.Gosched()
		return
	}
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

// rounds is how often a test does it again: where time is not free, once or twice.
func (h *harness) rounds() int {
	if h.bubble {
		return 5
	}
	return 2
}

// succeeded returns the commands that have.
func (h *harness) succeeded() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var commands []string
	for c, o := range h.told {
		if o.err == nil {
			commands = append(commands, c)
		}
	}
	return commands
}

// has fails the test if a node's machine lacks one of the commands.
func (h *harness) has(n *node, commands []string) {
	h.t.Helper()
	applied := make(map[string]bool)
	for _, c := range n.machine.now().Commands {
		applied[c] = true
	}
	for _, c := range commands {
		if !applied[c] {
			h.t.Errorf("node %d lacks %s", n.number, c)
		}
	}
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

// commit proposes on whatever node leads, other than those named, until one succeeds,
// and returns that node.
func (h *harness) commit(but ...int) *node {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		n := h.leader(but...)
		if o := h.propose(ctx, n); o.err == nil {
			return n
		}
		h.pause(ctx)
	}
	h.t.Fatalf("nothing was committed for %v", patience)
	return nil
}

// settle waits until all running nodes have the same history, and holds it against
// what was told.
func (h *harness) settle() {
	h.t.Helper()
	leader := h.commit()
	want := leader.machine.now()
	for _, n := range h.running() {
		h.await(n, len(want.Commands))
		h.compare(n, want.Commands)
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

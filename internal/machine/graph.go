package machine

import (
	"coordd.dev/internal/park"
)

// A graph is the part of the wait-for graph that a search has come to. Its nodes are
// waits, holds, and places in queues: a place depends on who stands there and on the place
// before it, so that a queue has as many edges as places, not their square.
type graph struct {
	m     *Machine
	nodes []node
	edges []edge
	found map[ref]int // never ranged over
	left  int         // how much may be looked at yet
}

// A ref names a node: a wait or, with hold, a hold; with on, the place of a wait.
type ref struct {
	id   park.ID
	hold bool
	on   park.Object
	side park.Side
}

// A node is stuck while all its arms are; if it is every, while one is. Only waits have
// several arms: one of anything else is stuck while anything is that it depends on.
type node struct {
	ref
	w       park.Waiter // of a wait
	every   bool
	free    bool       // not stuck
	arms    []armState // nil if it never is
	out, in []int      // edges
}

// wait reports whether the node is a wait.
func (n *node) wait() bool { return !n.hold && n.on == park.Object{} }

// An armState counts what is in its way and is stuck.
type armState struct {
	never bool
	ahead int   // of the queue, and all of what is no wait
	held  int64 // permits of stuck holds; of a lock how many such holds
	spare int64 // permits that may be held for good, and the arm still be had; of a lock 0
}

// An edge says that an arm of a node depends on another node.
type edge struct {
	from, arm, to int
	held          int64 // permits of a hold; 0 of all else
}

func (a *armState) stuck() bool { return !a.never && (a.ahead > 0 || a.held > a.spare) }

// stuckBy reports whether an edge is in the way, if what it leads to is stuck: of a
// semaphore's permits there may be enough left.
func (a *armState) stuckBy(e *edge) bool { return !a.never && (e.held == 0 || a.held > a.spare) }

func (n *node) stuck() bool {
	for i := range n.arms {
		if n.arms[i].stuck() == n.every {
			return n.every
		}
	}
	return !n.every && len(n.arms) > 0
}

// search looks at all that the roots depend on, or at all that depends on the roots: either
// will do, and often one is a few edges and the other thousands, so it goes a little way in
// both and then further. If that is too much, which it then reports as not the whole, it
// looks at how each root is in its own way.
func (m *Machine) search(roots []park.ID) (g *graph, whole bool) {
	for left := firstEdges; left <= maxEdges; left *= 8 {
		for _, from := range []func(*graph, int){(*graph).forwards, (*graph).backwards} {
			if g := m.look(roots, from, left); g.left >= 0 {
				return g, true
			}
		}
	}
	return m.look(roots, (*graph).alone, maxEdges), false
}

// look makes the graph of what is found from some waits, without what is not stuck. If it is
// too much, so that left is negative, everything else is as if it were not stuck.
func (m *Machine) look(roots []park.ID, from func(*graph, int), left int) *graph {
	g := &graph{m: m, found: map[ref]int{}, left: left}
	for _, id := range roots {
		g.node(ref{id: id})
	}
	for i := 0; i < len(g.nodes) && g.left >= 0; i++ {
		from(g, i)
	}
	g.reduce()
	return g
}

// node returns the number of a node, which is made if it is new.
func (g *graph) node(r ref) int {
	i, ok := g.found[r]
	if ok {
		return i
	}
	n := node{ref: r, arms: make([]armState, 1)}
	if n.wait() {
		n.w, _ = g.m.lot.Get(r.id)
		n.every = n.w.Commit == park.Every
		n.arms = g.arms(&n)
	}
	i = len(g.nodes)
	g.nodes = append(g.nodes, n)
	g.found[r] = i
	return i
}

// arms returns those of a wait, nil if it never is stuck.
func (g *graph) arms(n *node) []armState {
	if g.left -= len(n.w.Arms); g.left < 0 {
		return nil
	}
	arms := make([]armState, len(n.w.Arms))
	for i, a := range n.w.Arms {
		if arms[i].never = !canStick(a.On.Kind); arms[i].never && !n.every {
			return nil
		}
		if a.On.Kind == park.KindSemaphore {
			s, _ := g.m.locks.Semaphore(a.On)
			arms[i].spare = s.Limit - a.N
		}
	}
	return arms
}

// canStick says whether waits for a kind of object can be stuck.
func canStick(k park.Kind) bool {
	switch k {
	case park.KindLock, park.KindSemaphore, park.KindElection, park.KindOnce:
		return true
	default:
		return false
	}
}

// depend says that an arm of a node depends on another node.
func (g *graph) depend(from, arm, to int, held int64) {
	g.left--
	g.nodes[from].out = append(g.nodes[from].out, len(g.edges))
	g.nodes[to].in = append(g.nodes[to].in, len(g.edges))
	g.edges = append(g.edges, edge{from, arm, to, held})
	if a := &g.nodes[from].arms[arm]; held > 0 {
		a.held += held
	} else {
		a.ahead++
	}
}

// weight is how much of an arm's object the hold of another arm takes from it for good,
// while it is stuck; 0 if they are compatible.
func weight(a, of park.Arm) int64 {
	switch {
	case a.Shared && of.Shared:
		return 0
	case a.On.Kind == park.KindSemaphore:
		return of.N
	}
	return 1
}

// binds reports whether a hold can be stuck: somebody promises to keep it, and its session
// lives.
func (g *graph) binds(hold park.ID) bool {
	h, ok := g.m.book.Hold(hold)
	return ok && h.Free == 0 && g.m.lot.Named(hold)
}

// reduce frees all nodes that are not stuck.
func (g *graph) reduce() {
	for i := range g.nodes {
		if !g.nodes[i].stuck() {
			g.release(i)
		}
	}
}

// remove takes a wait out of the graph.
func (g *graph) remove(wait park.ID) {
	if i, ok := g.found[ref{id: wait}]; ok {
		g.release(i)
	}
}

// release frees a node, and then all that are not stuck without it.
func (g *graph) release(i int) {
	if g.nodes[i].free {
		return
	}
	g.nodes[i].free = true
	for todo := []int{i}; len(todo) > 0; {
		i, todo = todo[len(todo)-1], todo[:len(todo)-1]
		for _, e := range g.nodes[i].in {
			edge := g.edges[e]
			n := &g.nodes[edge.from]
			if edge.held > 0 {
				n.arms[edge.arm].held -= edge.held
			} else {
				n.arms[edge.arm].ahead--
			}
			if !n.free && !n.stuck() {
				n.free = true
				todo = append(todo, edge.from)
			}
		}
	}
}

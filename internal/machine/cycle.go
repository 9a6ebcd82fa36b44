package machine

import (
	"slices"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// How much of a deadlock is told, so that an answer stays far below a message's 1 MiB: waits
// of a cycle, and of each how many of the objects that its context holds. What they say of
// themselves is told up to maxTold bytes, as in a Description.
const (
	maxCycle = 32
	maxRefs  = 8
)

// A CycleWait is one wait of a deadlock. Each waits for the next, the last for the first,
// which is the one that is refused: the next holds what it wants, or stands ahead of it.
type CycleWait struct {
	ID      park.ID
	Who     string
	Note    string
	Holds   []Ref // what it promises to keep, at most 8; what the one before wants comes first
	Wants   Ref
	Skipped int // waits between this one and the next that are not told
}

// A Ref names an object, and where in its program it was acquired or is waited for.
type Ref struct {
	On   park.Object
	Site string
}

// refuseWait tells a call that it would wait for ever.
func (m *Machine) refuseWait(id park.ID, cycle []CycleWait) {
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
		Code: park.Deadlock, Cycle: cycle,
	})
	m.conclude(id, session.Kept{Code: park.Deadlock})
}

// A step is how a walk comes to a node: from the wait before, which waits for it with one of
// its arms, through a hold or because somebody stands ahead.
type step struct {
	wait, arm int
	hold      int // -1 if there is none
}

// A walk goes through what is stuck, breadth first from one wait, to find it again.
type walk struct {
	g       *graph
	steps   []step // to each node
	seen    []bool // nodes; the first wait is only once it is found again
	waits   []int  // found and yet to be gone on from
	between []int  // likewise holds and places, which are on the way to waits
}

// cycle returns the shortest cycle through a wait; nil if it is in none.
func (g *graph) cycle(id park.ID) []CycleWait {
	root, ok := g.found[ref{id: id}]
	if !ok || g.nodes[root].free {
		return nil
	}
	w := &walk{g: g, steps: make([]step, len(g.nodes)), seen: make([]bool, len(g.nodes)), waits: []int{root}}
	for len(w.waits) > 0 && !w.seen[root] {
		next := w.waits[0]
		w.waits = w.waits[1:]
		w.goOn(next)
	}
	if !w.seen[root] {
		return nil
	}
	way := []step{w.steps[root]} // backwards, from the last wait to the first
	for at := w.steps[root].wait; at != root; at = w.steps[at].wait {
		way = append(way, w.steps[at])
	}
	slices.Reverse(way)
	return g.told(way)
}

// goOn finds the waits that a wait waits for.
func (w *walk) goOn(wait int) {
	n := &w.g.nodes[wait]
	for _, e := range n.out {
		if edge := &w.g.edges[e]; n.arms[edge.arm].stuckBy(edge) {
			w.come(edge.to, step{wait, edge.arm, -1})
		}
	}
	for len(w.between) > 0 {
		i := w.between[0]
		w.between = w.between[1:]
		via := w.steps[i]
		if w.g.nodes[i].hold {
			via.hold = i
		}
		for _, e := range w.g.nodes[i].out {
			w.come(w.g.edges[e].to, via)
		}
	}
}

func (w *walk) come(to int, via step) {
	n := &w.g.nodes[to]
	if n.free || w.seen[to] {
		return
	}
	w.seen[to], w.steps[to] = true, via
	if n.wait() {
		w.waits = append(w.waits, to)
	} else {
		w.between = append(w.between, to)
	}
}

// told returns what is told of a cycle, of whose waits each step is from one to the next.
func (g *graph) told(way []step) []CycleWait {
	var cycle []CycleWait
	said := 0
	for i, s := range way {
		if i >= maxCycle-1 && i < len(way)-1 {
			cycle[len(cycle)-1].Skipped++
			continue
		}
		n := &g.nodes[s.wait]
		c := CycleWait{ID: n.id, Holds: g.refs(n, way[(i+len(way)-1)%len(way)])}
		c.Wants.On = n.w.Arms[s.arm].On
		terms := n.w.Terms.Get()
		if terms.Lineage != nil {
			c.Wants.Site = terms.Lineage.Site
		}
		if said < maxTold {
			c.Who, c.Note = g.m.book.Who(n.id.Session), terms.Note
			said += len(c.Who) + len(c.Note)
		}
		cycle = append(cycle, c)
	}
	return cycle
}

// refs lists what a wait promises to keep; first, if that is how the wait before comes to it,
// what that one wants.
func (g *graph) refs(n *node, before step) []Ref {
	var refs []Ref
	first := Ref{}
	if before.hold >= 0 {
		first.On = g.nodes[before.wait].w.Arms[before.arm].On
		refs = append(refs, first)
	}
	for _, name := range names(&n.w) {
		inTheWay := before.hold >= 0 && g.nodes[before.hold].id == name.ID
		h, _ := g.m.book.Hold(name.ID)
		for _, a := range h.Arms {
			switch {
			case inTheWay && a.On == first.On:
				refs[0].Site = name.Site
			case len(refs) < maxRefs:
				refs = append(refs, Ref{a.On, name.Site})
			}
		}
	}
	return refs
}

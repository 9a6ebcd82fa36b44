package machine

import (
	"coordd.dev/internal/park"
)

// forwards finds what a node depends on.
func (g *graph) forwards(i int) {
	n := g.nodes[i]
	switch {
	case n.hold:
		for wait := range g.m.lot.Naming(n.id) {
			if g.left < 0 {
				return
			}
			g.depend(i, 0, g.node(ref{id: wait}), 0)
		}
	case n.wait():
		for arm := range n.arms {
			g.forwardsArm(i, arm)
		}
	default:
		w, _ := g.m.lot.Get(n.id)
		g.depend(i, 0, g.node(ref{id: n.id}), 0)
		g.dependOnAhead(i, 0, n.on, n.side, &w)
	}
}

func (g *graph) forwardsArm(i, arm int) {
	w := g.nodes[i].w
	a := w.Arms[arm]
	if g.nodes[i].arms[arm].never {
		return
	}
	for id, of := range g.m.tenants(a.On) {
		if g.left--; g.left < 0 {
			return
		}
		if held := weight(a, of); held > 0 && g.binds(id) {
			g.depend(i, arm, g.node(ref{id: id, hold: true}), held)
		}
	}
	g.dependOnAhead(i, arm, a.On, a.Side, &w)
}

// dependOnAhead makes an arm depend on the place before a waiter's, if there is one.
func (g *graph) dependOnAhead(i, arm int, on park.Object, side park.Side, w *park.Waiter) {
	if ahead, ok := g.m.lot.Before(on, side, w.Prio, w.Ticket); ok {
		g.depend(i, arm, g.node(ref{id: ahead, on: on, side: side}), 0)
	}
}

// backwards finds what depends on a node.
func (g *graph) backwards(i int) {
	n := g.nodes[i]
	switch {
	case n.hold:
		h, _ := g.m.book.Hold(n.id)
		for _, a := range h.Arms {
			g.left--
			g.backwardsHold(i, a)
		}
	case n.wait():
		for _, a := range n.w.Arms {
			if canStick(a.On.Kind) { // who stands there with two arms has an edge too many, which does no harm
				g.depend(g.node(ref{id: n.id, on: a.On, side: a.Side}), 0, i, 0)
			}
		}
		for _, name := range names(&n.w) {
			if g.left--; g.binds(name.ID) {
				g.depend(g.node(ref{id: name.ID, hold: true}), 0, i, 0)
			}
		}
	default:
		w, _ := g.m.lot.Get(n.id)
		if behind, ok := g.m.lot.Behind(n.on, n.side, w.Prio, w.Ticket); ok {
			g.depend(g.node(ref{id: behind, on: n.on, side: n.side}), 0, i, 0)
			g.dependArms(behind, i, func(a park.Arm) (int64, bool) { return 0, a.On == n.on && a.Side == n.side })
		}
	}
}

// backwardsHold finds who waits for an object that a hold has and that it keeps from them.
func (g *graph) backwardsHold(i int, a park.Arm) {
	for id := range g.m.lot.Queue(a.On) {
		if g.left--; g.left < 0 {
			return
		}
		g.dependOnHold(id, i, a)
	}
}

// alone finds how a wait is in its own way: it waits for what it promises to keep.
func (g *graph) alone(i int) {
	n := g.nodes[i]
	if !n.wait() {
		return
	}
	for _, name := range names(&n.w) {
		if g.left--; !g.binds(name.ID) {
			continue
		}
		hold := g.node(ref{id: name.ID, hold: true})
		g.depend(hold, 0, i, 0)
		h, _ := g.m.book.Hold(name.ID)
		for _, a := range h.Arms {
			if g.left -= len(n.arms); g.left < 0 {
				return
			}
			g.dependOnHold(n.id, hold, a)
		}
	}
}

// dependOnHold makes those arms of a wait depend on a hold that wait for an arm of it.
func (g *graph) dependOnHold(wait park.ID, hold int, of park.Arm) {
	if !canStick(of.On.Kind) {
		return
	}
	g.dependArms(wait, hold, func(a park.Arm) (int64, bool) {
		if a.On != of.On {
			return 0, false
		}
		held := weight(a, of)
		return held, held > 0
	})
}

// dependArms makes those arms of a wait depend on a node that do.
func (g *graph) dependArms(wait park.ID, to int, depends func(park.Arm) (held int64, ok bool)) {
	from := g.node(ref{id: wait})
	for arm := range g.nodes[from].arms {
		if held, ok := depends(g.nodes[from].w.Arms[arm]); ok {
			g.depend(from, arm, to, held)
		}
	}
}

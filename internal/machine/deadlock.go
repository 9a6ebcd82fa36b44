package machine

import (
	"cmp"
	"slices"

	"coordd.dev/internal/park"
)

// The search for deadlocks (SEMANTICS G). A wait that names holds promises to keep them until
// it ends. Under that contract a wait that is stuck can never proceed, and a wait that is not
// stuck can: those that are not are granted one after the other, in the order in which the
// reduction frees them, and what they then hold nobody names yet, so that it is let go.
//
// What is stuck is the greatest set of waits in which each is in the way of another:
//
//   - a hold is stuck if a stuck wait names it. That of a dead session, in its lock-delay,
//     never is;
//   - an arm on a lock, an election or a once is stuck if an incompatible holder is, or if
//     anybody who stands ahead of it on its queue is;
//   - an arm on a semaphore is stuck if the limit in force less the permits of stuck holds
//     does not cover it, or if anybody ahead is. That it covers those ahead need not be asked:
//     if it does not, they are stuck, but for a select that another arm will take away;
//   - a LockAll is stuck if any arm is, any other wait if every arm is;
//   - an arm on anything else never is, and no deadline is a way out. Nor is what
//     somebody might do for another reason: a resize, a transfer, a revocation, a cancel.
//
// Nothing that is stuck is ever left parked, but for what could not be searched. So every new
// stuck set contains what brought it about, and a search need only start there:
//
//   - a wait that parks adds itself and what depends on it. Without it the set was one
//     before. It is the one that is refused, whoever else is in it: all others had parked
//     while they could still proceed. A cond's waiter that a signal moves to the queue of a
//     lock parks there anew, and a wait with a higher priority is in the way of those that it
//     overtakes, with a lineage of its own or without;
//   - a resize that lowers a limit adds no wait, but permits that were enough are no more. It
//     is an operator's and takes effect. Of the waits of the semaphore's queue that are
//     in a cycle then, the youngest is refused, and again until none is;
//   - a grant, an end, a release, a cancel and a transfer add nothing: the wait leaves its
//     queues and no longer names anything, and nobody can name yet what it holds.
//
// Within a new stuck set some part depends on nothing outside of it. That part alone is
// stuck, so it is new, so the wait is in it and in a cycle: that is the cycle told. It also
// follows that everything in that part can be found from the wait in two ways, forwards by
// what it depends on and backwards by what depends on it. One of them may be short where
// the other is not: many wait for what the wait holds, or many stand ahead of it.

// How much of the wait-for graph one search looks at in each direction, at first and at most:
// constants of this version of the machine, never flags (SEMANTICS H1).
const (
	firstEdges = 64
	maxEdges   = 4_096
)

// Unsearched is how many waits this node has parked, and limits it has lowered, without
// knowing whether that made a deadlock, because there was too much to look at. It is no part
// of the state.
func (m *Machine) Unsearched() uint64 { return m.unsearched }

// deadlocked returns the cycle that a wait is in that has just been put on its queues; nil
// if there is none.
func (m *Machine) deadlocked(id park.ID, w *park.Waiter) []CycleWait {
	if m.lot.Names() == 0 || !m.inTheWay(w) {
		return nil
	}
	g, whole := m.search([]park.ID{id})
	cycle := g.cycle(id)
	if cycle == nil && !whole {
		m.unsearched++
	}
	return cycle
}

// inTheWay reports whether anything can depend on a wait: who stands behind it, and who
// waits for something that it promises to keep. If not it is in no cycle. Almost every wait
// is answered here.
func (m *Machine) inTheWay(w *park.Waiter) bool {
	for _, a := range w.Arms {
		if _, ok := m.lot.Behind(a.On, a.Side, w.Prio, w.Ticket); ok {
			return true
		}
	}
	looked := 0
	for _, n := range names(w) {
		h, _ := m.book.Hold(n.ID)
		for _, a := range h.Arms {
			if looked++; looked > maxEdges || m.lot.Waiting(a.On) > 0 {
				return true
			}
		}
	}
	return false
}

// shrunk refuses the waits that can no longer proceed because a limit was lowered.
func (m *Machine) shrunk(on park.Object) {
	if m.lot.Names() == 0 {
		return
	}
	type stander struct {
		id     park.ID
		ticket uint64
	}
	var queue []stander
	var roots []park.ID
	for id, w := range m.lot.Queue(on) {
		queue = append(queue, stander{id, w.Ticket})
		if roots = append(roots, id); len(roots) > maxEdges {
			break // the search finds that it is too much
		}
	}
	g, whole := m.search(roots)
	if !whole {
		m.unsearched++
	}
	slices.SortFunc(queue, func(a, b stander) int { return cmp.Compare(b.ticket, a.ticket) })
	for _, s := range queue {
		if cycle := g.cycle(s.id); cycle != nil {
			m.leave(s.id)
			m.refuseWait(s.id, cycle)
			g.remove(s.id)
		}
	}
}

// admitLineage says whether a lineage may be named at all: 0 if so.
func admitLineage(l *park.Lineage) (park.Code, int64) {
	if l == nil {
		return 0, 0
	}
	if len(l.Holds) > park.MaxLineage {
		return park.Invalid, park.MaxLineage
	}
	if len(l.Site) > park.MaxSite {
		return park.Invalid, park.MaxSite
	}
	for i, n := range l.Holds {
		if len(n.Site) > park.MaxSite {
			return park.Invalid, park.MaxSite
		}
		again := slices.ContainsFunc(l.Holds[:i], func(o park.Named) bool { return o.ID == n.ID })
		if again || n.ID.Session == 0 || n.ID.Seq == 0 {
			return park.Invalid, 0
		}
	}
	return 0, 0
}

// lineage is what of a wait's lineage promises something: a hold that does not live any more
// need not be kept, and one that is to come cannot be named.
func (m *Machine) lineage(l *park.Lineage) *park.Lineage {
	dead := func(n park.Named) bool {
		_, live := m.book.Hold(n.ID)
		return !live
	}
	if l != nil && slices.ContainsFunc(l.Holds, dead) {
		l = &park.Lineage{Site: l.Site, Holds: slices.DeleteFunc(slices.Clone(l.Holds), dead)}
	}
	if l.Empty() {
		return nil
	}
	return l
}

// names are the holds that a waiter names.
func names(w *park.Waiter) []park.Named {
	if w.Terms == nil || w.Terms.Lineage == nil {
		return nil
	}
	return w.Terms.Lineage.Holds
}

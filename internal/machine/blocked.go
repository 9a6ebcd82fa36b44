package machine

import "coordd.dev/internal/park"

// maxBlocked is how many edges of one wait are told.
const maxBlocked = 100

// An Edge of the wait-for graph says what is in the way of a wait, for whoever wants to
// know, stuck or not.
type Edge struct {
	From park.ID     // waits
	On   park.Object // for this
	To   park.ID     // holds it, or stands ahead
	Held bool        // which of the two
	Kept bool        // of a hold: a parked wait promises to keep it
}

// Blocked returns what is in the way of a wait: of each arm, in their order, who holds what it
// cannot have beside them, by call, and who stands next before it. more says that there
// are too many to tell. It is empty if the call does not wait.
func (m *Machine) Blocked(id park.ID) (edges []Edge, more bool) {
	w, ok := m.lot.Get(id)
	if !ok {
		return nil, false
	}
	for _, a := range w.Arms {
		for hold, of := range m.tenants(a.On) {
			if weight(a, of) == 0 {
				continue
			}
			if len(edges) == maxBlocked {
				return edges, true
			}
			edges = append(edges, Edge{From: id, On: a.On, To: hold, Held: true, Kept: m.lot.Named(hold)})
		}
		if ahead, ok := m.lot.Before(a.On, a.Side, w.Prio, w.Ticket); ok {
			if len(edges) == maxBlocked {
				return edges, true
			}
			edges = append(edges, Edge{From: id, On: a.On, To: ahead})
		}
	}
	return edges, false
}

// Keepers returns the waits that promise to keep a hold, by id. more says that there are too
// many to tell.
func (m *Machine) Keepers(hold park.ID) (waits []park.ID, more bool) {
	for wait := range m.lot.Naming(hold) {
		if len(waits) == maxBlocked {
			return waits, true
		}
		waits = append(waits, wait)
	}
	return waits, false
}

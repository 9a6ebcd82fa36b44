package machine

import (
	"coordd.dev/election"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// leadership returns the hold that a change about a leadership is about. If there is none
// the call is answered.
func (m *Machine) leadership(id park.ID, to park.Seq) (session.Hold, bool) {
	if m.crowded(id, session.MaxOpen) {
		return session.Hold{}, false
	}
	h, ok := m.book.Hold(park.ID{Session: id.Session, Seq: to})
	switch {
	case !ok:
		m.answer(id, park.NotFound, 0)
	case len(h.Arms) != 1 || h.Arms[0].On.Kind != park.KindElection:
		m.answer(id, park.Invalid, 0)
	default:
		return h, true
	}
	return session.Hold{}, false
}

// proclaim changes the value of a leadership, within its term.
func (m *Machine) proclaim(id park.ID, to park.Seq, value string) {
	if len(value) > election.MaxValue {
		m.answer(id, park.Invalid, election.MaxValue)
		return
	}
	h, ok := m.leadership(id, to)
	if !ok {
		return
	}
	target := park.ID{Session: id.Session, Seq: to}
	a := h.Arms[0]
	a.Value = value
	h.Arms = []park.Arm{a}
	m.book.Change(target, h)
	m.noteHold(ChangeProclaimed, target, a, &h)
	m.keep(id, session.Kept{Code: park.Done})
}

// transfer gives a leadership to the first candidate of the heir's session, past all who
// wait, or leaves it where it is (SEMANTICS E3).
func (m *Machine) transfer(id park.ID, to park.Seq, heir park.SessionID) {
	h, ok := m.leadership(id, to)
	if !ok {
		return
	}
	on := h.Arms[0].On
	next, w, arm, ok := m.candidate(on, heir)
	if !ok {
		m.answer(id, park.NotFound, 0)
		return
	}
	m.release(park.ID{Session: id.Session, Seq: to}, EndTransferred)
	m.leave(next)
	m.proceed(next, &w, arm, true)
	m.keep(id, session.Kept{Code: park.Done})
}

// candidate finds the first wait of a session that leading alone would end, and its arm. It
// looks through the waits of the session, of which there are few where a queue is long.
func (m *Machine) candidate(on park.Object, of park.SessionID) (id park.ID, w park.Waiter, arm int, ok bool) {
	for waits, x := range m.lot.Of(of) {
		i := armOf(x.Arms, on)
		if i < 0 || x.Commit == park.Every && len(x.Arms) > 1 {
			continue
		}
		if !ok || turnOf(&x).Compare(turnOf(&w)) < 0 {
			id, w, arm, ok = waits, x, i, true
		}
	}
	return id, w, arm, ok
}

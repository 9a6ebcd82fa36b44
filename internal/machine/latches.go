package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// add adds to a wait group, or settles (SEMANTICS E4). What settles is not refused where a
// release would not be.
func (m *Machine) add(id park.ID, on park.Object, delta int64) {
	limit := int32(session.MaxOpen)
	if delta < 0 {
		limit *= 2
	}
	if m.crowded(id, limit) {
		return
	}
	code, count := m.groups.Add(id.Session, on, delta, m.steps)
	if code != park.Done {
		m.answer(id, code, count)
		return
	}
	if count == 0 {
		m.touch(on, park.Alone)
	}
	m.keep(id, session.Kept{Code: park.Done, Value: count})
}

// cutShort returns what a session that ends has not settled.
func (m *Machine) cutShort(s park.SessionID) {
	for _, on := range m.groups.Leave(s) {
		m.note(ChangeCut, park.ID{Session: s}, park.Arm{On: on})
		m.touch(on, park.Alone)
	}
}

// complete stores the result of a once, which its runner alone can, and tells everybody who
// waits for it (SEMANTICS E5). It ends a hold, and so is not refused where a release would
// not be.
func (m *Machine) complete(id park.ID, to park.Seq, result string, how int64) {
	if m.crowded(id, 2*session.MaxOpen) {
		return
	}
	target := park.ID{Session: id.Session, Seq: to}
	h, ok := m.book.Hold(target)
	switch {
	case !ok:
		m.answer(id, park.NotFound, 0)
		return
	case h.Arms[0].On.Kind != park.KindOnce:
		m.answer(id, park.Invalid, 0)
		return
	}
	if code, value := m.onces.Complete(target, h.Arms[0].On, result, how); code != park.Done {
		m.answer(id, code, value)
		return
	}
	m.release(target, EndCompleted)
	m.keep(id, session.Kept{Code: park.Done})
}

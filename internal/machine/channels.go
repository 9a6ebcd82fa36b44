package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// made is to be called once an op may have made a channel on which others wait already, who
// did not say its capacity: those that cannot have it as it is are refused, and the others
// may proceed.
func (m *Machine) made(on park.Object) {
	if m.lot.Waiting(on) == 0 {
		return
	}
	type misfit struct {
		id    park.ID
		code  park.Code
		value int64
	}
	var misfits []misfit
	for id, w := range m.lot.Queue(on) {
		if n := len(misfits); n > 0 && misfits[n-1].id == id {
			continue // it stands on both queues
		}
		for _, a := range w.Arms {
			if a.On != on {
				continue
			}
			if code, value := m.channels.Misfit(a); code != 0 {
				misfits = append(misfits, misfit{id, code, value})
				break
			}
		}
	}
	for _, x := range misfits {
		if m.abandon(x.id) { // once, if it stands on both
			m.answer(x.id, x.code, x.value)
		}
	}
	m.touchAll(on)
}

// misfit says why a wait whose arms were admitted one after the other cannot be: a later arm
// may have made a channel that an earlier one, of any capacity, cannot have.
func (m *Machine) misfit(arms []park.Arm) (park.Code, int64) {
	for _, a := range arms {
		if a.On.Kind != park.KindChan {
			continue
		}
		if code, value := m.channels.Misfit(a); code != 0 {
			return code, value
		}
	}
	return 0, 0
}

// closeChannel closes a channel: who waits to send is refused, who waits to receive gets what
// is left. It is never refused for load (SEMANTICS H1).
func (m *Machine) closeChannel(id park.ID, on park.Object, capacity int64, codec string) {
	if m.crowded(id, 2*session.MaxOpen) {
		return
	}
	channels := m.channels.Len()
	code, value := m.channels.Close(on, capacity, codec)
	if code != park.Done {
		m.answer(id, code, value)
		return
	}
	if m.channels.Len() > channels {
		m.made(on)
	}
	m.note(ChangeClosed, id, park.Arm{On: on})
	m.touchAll(on)
	m.keep(id, session.Kept{Code: park.Done})
}

// ack ends a delivery for good (SEMANTICS E7). It is never refused for load (H1).
func (m *Machine) ack(id park.ID, to park.Seq) {
	if m.crowded(id, 2*session.MaxOpen) {
		return
	}
	target := park.ID{Session: id.Session, Seq: to}
	h, ok := m.book.Hold(target)
	switch {
	case !ok:
		m.answer(id, park.NotFound, 0)
	case h.Arms[0].On.Kind != park.KindChan:
		m.answer(id, park.Invalid, 0)
	default:
		m.release(target, EndAcked)
		m.keep(id, session.Kept{Code: park.Done})
	}
}

// delivered is how many bytes of data a call was given with its hold.
func (m *Machine) delivered(id park.ID, h *session.Hold) int {
	if h.Arms[0].On.Kind != park.KindChan { // a LockAll has none
		return 0
	}
	return len(m.channels.Held(id, h.Arms[0]).Data)
}

// crowded refuses a call of a session that has as many as it can.
func (m *Machine) crowded(id park.ID, limit int32) bool {
	if st, _ := m.book.State(id.Session); st.Open >= limit {
		m.answer(id, park.Full, int64(limit))
		return true
	}
	return false
}

package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// due ends everything that has fallen due by the clock, and only then grants what that
// frees (SEMANTICS A2). More sessions than MaxEnds, ended or forgotten, wait for the
// next entry.
func (m *Machine) due() {
	for n := 0; n < MaxEnds; {
		id, ok := m.book.Due(m.clock)
		if !ok {
			break
		}
		if id.Seq != 0 {
			m.dueCall(id)
			continue
		}
		n++
		if !m.forget(id.Session) {
			m.end(id.Session, EndExpired)
		}
	}
	m.settle()
}

// dueCall ends a wait whose limit has passed, or a lock-delay.
func (m *Machine) dueCall(id park.ID) {
	if m.abandon(id) {
		m.answer(id, park.TimedOut, 0)
		return
	}
	if !m.release(id, EndDelayOver) {
		panic("machine: an alarm of nothing")
	}
}

// forget removes a session that is over. It reports false for one that is live.
func (m *Machine) forget(s park.SessionID) bool {
	if _, live := m.book.Live(s); live {
		return false
	}
	m.book.Forget(s)
	return true
}

// end ends a live session: its waits leave, its holds are released or, if it failed,
// begin their lock-delay. What that frees is marked, not granted.
func (m *Machine) end(s park.SessionID, how Ending) {
	for _, id := range unlisted(m.lot.Of(s), nil) {
		m.abandon(id)
	}
	m.cutShort(s)
	for _, id := range unlisted(m.book.HoldsOf(s), nil) {
		if h, _ := m.book.Hold(id); h.Terms.Get().Delay > 0 && (how == EndExpired || how == EndReplaced) {
			m.delay(id, h, how)
		} else {
			m.release(id, how)
		}
	}
	st, _ := m.book.State(s)
	e := Event{Type: EventEnded, Session: s, Refusal: RefusedOver, Ending: how}
	if how == EndRevoked || st.Revoked {
		e.Refusal = RefusedRevoked
	}
	m.tell(e)
	if how == EndRevoked {
		m.book.Revoke(s)
	}
	m.book.End(s, m.clock)
	if how == EndLeft {
		m.book.Forget(s)
	}
}

// delay begins the lock-delay of a hold whose session is over (SEMANTICS E1).
func (m *Machine) delay(id park.ID, h session.Hold, how Ending) {
	h.Free = m.clock + park.Clock(h.Terms.Get().Delay)
	m.book.Change(id, h)
	m.book.SetAlarm(h.Free, id)
	for _, a := range h.Arms {
		c := m.noteHold(ChangeDelayed, id, a, &h)
		c.Held, c.Ending = int64(m.clock-h.Since), how
	}
}

// revoke takes a session back (SEMANTICS A6).
func (m *Machine) revoke(r *Revoke) park.Code {
	if _, live := m.book.Live(r.Session); !live {
		return park.NotFound
	}
	if r.Now {
		m.end(r.Session, EndRevoked)
		return park.Done
	}
	m.book.Revoke(r.Session)
	m.recall(r.Session)
	return park.Done
}

// recall asks for every hold of a session back.
func (m *Machine) recall(s park.SessionID) {
	for id := range m.book.HoldsOf(s) {
		m.answer(id, park.Recalled, 0)
	}
}

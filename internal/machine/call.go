package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// Opened is the result of an Open: the session, or why there is none.
type Opened struct {
	Session park.SessionID
	Refusal Refusal
	Wait    int64 // of RefusedRestored: until sessions open, nanoseconds
}

// Called is the result of a Call: why it was refused as a whole, 0 if it was not; and of
// DoEnd and DoLeave the answer, which of all others comes as an event.
type Called struct {
	Refusal Refusal
	Code    park.Code
}

// openUnary opens a session without a stream. Opening is never deduplicated: an orphan
// expires.
func (m *Machine) openUnary(o *Open) Opened {
	sessions, _ := m.book.Len()
	switch {
	case m.cluster == "":
		return Opened{Refusal: RefusedUnready}
	case o.TTL < MinTTL || o.TTL > MaxTTL || len(o.Who) > MaxWho:
		return Opened{Refusal: RefusedInvalid}
	case sessions >= MaxSessions:
		return Opened{Refusal: RefusedLimit}
	}
	if refusal, wait := m.opening(); refusal != 0 {
		return Opened{Refusal: refusal, Wait: wait}
	}
	m.opened()
	return Opened{Session: m.book.Open(session.Lease{Secret: o.Secret, TTL: o.TTL, Who: o.Who}, 0, m.clock)}
}

// call executes a call of a session without a stream. One that was made before is not
// made again: it joins what it became (SEMANTICS B6).
func (m *Machine) call(c *Call) Called {
	if refusal := m.refuseCall(c); refusal != 0 {
		return Called{Refusal: refusal}
	}
	if c.Op.Do == DoLeave {
		m.end(c.Session, EndLeft)
		return Called{Code: park.Done}
	}
	was, known := m.book.Asked(c.Session, c.Request)
	if c.Op.Do == DoEnd {
		m.endRequest(c, was, known)
		return Called{Code: park.Done}
	}
	if known {
		m.againRequest(park.ID{Session: c.Session, Seq: was.Seq}, was)
		return Called{}
	}
	target, known := m.book.Asked(c.Session, c.Target)
	op := c.Op
	if op.To = 0; known {
		op.To = target.Seq
	}
	m.do(m.ask(c), &op)
	return Called{}
}

func (m *Machine) refuseCall(c *Call) Refusal {
	st, live := m.book.Live(c.Session)
	switch {
	case !live && st.Revoked:
		return RefusedRevoked
	case !live:
		return RefusedOver
	}
	switch l, _ := m.book.Lease(c.Session); {
	case st.Epoch != 0 || l.Secret != c.Secret:
		return RefusedNotYours
	case c.Op.Do != DoLeave && c.Request == "" || len(c.Request) > session.MaxRequest:
		return RefusedInvalid
	}
	return 0
}

// ask gives a request the next seq of its session.
func (m *Machine) ask(c *Call) park.ID {
	st, _ := m.book.State(c.Session)
	id := park.ID{Session: c.Session, Seq: st.Last + 1}
	m.book.Spend(id)
	m.book.Ask(id, c.Request)
	return id
}

// endRequest ends the call of a request. One that is not known is spent: the end may have
// overtaken it on another connection, and it must have no effect any more.
func (m *Machine) endRequest(c *Call, was session.Asked, known bool) {
	if !known {
		m.book.Conclude(m.ask(c), session.Kept{Code: park.Over})
		return
	}
	id := park.ID{Session: c.Session, Seq: was.Seq}
	if m.abandon(id) {
		m.answer(id, park.Over, 0)
		return
	}
	m.release(id, EndReleased)
}

// againRequest answers a retry from what the request has become; while it waits the
// retry waits with it.
func (m *Machine) againRequest(id park.ID, was session.Asked) {
	if h, ok := m.book.Hold(id); ok {
		m.held(id, h)
		return
	}
	if was.Ended != 0 {
		m.tell(Event{
			Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
			Code: was.Code, Value: was.Value, Arm: int(was.Arm), Data: was.Data,
		})
	}
}

// conclude keeps how a call of a session without a stream ended.
func (m *Machine) conclude(id park.ID, k session.Kept) {
	if !m.book.Unary(id.Session) {
		return
	}
	if _, live := m.book.Live(id.Session); live {
		m.book.Conclude(id, k)
	}
}

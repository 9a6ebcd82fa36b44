package machine

import (
	"math"
	"slices"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// wait is a newcomer: it tries, and if it cannot proceed it parks (SEMANTICS D2).
func (m *Machine) wait(id park.ID, op *Wait) {
	if st, _ := m.book.State(id.Session); st.Open >= session.MaxOpen {
		m.answer(id, park.Full, session.MaxOpen)
		return
	}
	if code, value := m.admit(op); code != 0 {
		m.answer(id, code, value)
		return
	}
	w := park.Waiter{
		Arms: op.Arms, Commit: op.Commit, Prio: op.Prio, Ticket: m.lot.Ticket(),
		Since: m.clock, Terms: park.NewTerms(park.Terms{Delay: op.Delay, Note: op.Note, Trace: op.Trace}),
	}
	arm, ok := m.try(&w)
	switch {
	case ok:
		m.grant(id, &w, arm, false)
	case op.Try:
		m.busy(id, &w)
	default:
		m.park(id, w, op.Limit)
	}
}

// admit says whether a wait may be asked for at all: 0 if so.
func (m *Machine) admit(op *Wait) (park.Code, int64) {
	switch {
	case len(op.Arms) == 0 || len(op.Arms) > MaxArms:
		return park.Invalid, MaxArms
	case op.Commit < park.Any || op.Commit > park.Every:
		return park.Invalid, 0
	case len(op.Note) > MaxNote:
		return park.Invalid, MaxNote
	case len(op.Trace) > MaxTrace:
		return park.Invalid, MaxTrace
	case op.Delay < 0 || op.Delay > MaxDelay:
		return park.Invalid, MaxDelay
	case op.Limit < 0 || op.Limit > MaxLimit:
		return park.Invalid, MaxLimit
	case op.Commit == park.Every && !ascending(op.Arms):
		return park.Invalid, 0
	}
	for _, a := range op.Arms {
		if code, value := m.admitArm(a); code != 0 {
			return code, value
		}
		if m.lot.Waiting(a.On) >= MaxWaiters && !op.Try {
			return park.Limit, MaxWaiters
		}
	}
	if m.lot.Parked() >= MaxParked && !op.Try {
		return park.Limit, MaxParked
	}
	return 0, 0
}

// ascending reports whether a LockAll's arms are distinct and sorted (SEMANTICS D4).
func ascending(arms []park.Arm) bool {
	for i := 1; i < len(arms); i++ {
		if arms[i-1].On.Compare(arms[i].On) >= 0 {
			return false
		}
	}
	return true
}

// every is the arm of a wait that commits all of them.
const every = -1

// try says which arm a waiter can commit now, every for all of them.
func (m *Machine) try(w *park.Waiter) (arm int, ok bool) {
	m.steps++
	ready := 0
	for i := range w.Arms {
		switch free := m.free(w, i); {
		case free && w.Commit == park.First:
			return i, true
		case free:
			ready++
			arm = i
		case w.Commit == park.Every:
			return 0, false
		}
	}
	switch {
	case ready == 0:
		return 0, false
	case w.Commit == park.Every:
		return every, true
	case ready == 1:
		return arm, true
	}
	return m.choose(w, ready), true
}

// choose takes a fair one of several ready arms (SEMANTICS D3).
func (m *Machine) choose(w *park.Waiter, ready int) int {
	nth := int(mix64(m.steps) % uint64(ready)) //nolint:gosec // ready is at most MaxArms
	for i := range w.Arms {
		if m.free(w, i) {
			if nth == 0 {
				return i
			}
			nth--
		}
	}
	panic("machine: fewer arms are ready than were counted")
}

// mix64 is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
func mix64(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// free says whether an arm can proceed and would overtake nobody.
func (m *Machine) free(w *park.Waiter, arm int) bool {
	a := w.Arms[arm]
	return !m.lot.Ahead(a.On, a.Side, w.Prio, w.Ticket, park.ID{}) && m.ready(a)
}

// grant commits what try has found, and tells. waited says that it was parked.
func (m *Machine) grant(id park.ID, w *park.Waiter, arm int, waited bool) {
	h := session.Hold{Arms: w.Arms, Since: m.clock, Terms: w.Terms}
	if arm != every && len(w.Arms) > 1 {
		h.Arms = slices.Clone(w.Arms[arm : arm+1]) // a hold must not keep its waiter's arms alive
		h.Arm = uint16(arm)                        //nolint:gosec // below MaxArms
	}
	if slices.ContainsFunc(h.Arms, exclusive) {
		h.Token = m.nextToken()
	}
	for _, a := range h.Arms {
		m.commit(id, a)
		m.noteHold(ChangeGranted, id, a, &h).Waited = int64(m.clock - w.Since)
	}
	m.book.Grant(id, h)
	before := ""
	if waited {
		before = m.waitedFor(w, h.Arms)
	}
	m.granted(id, h, before)
	if st, _ := m.book.State(id.Session); st.Revoked {
		m.answer(id, park.Recalled, 0) // as what it held already has been (SEMANTICS A6)
	}
}

func (m *Machine) nextToken() park.Token {
	if m.token == maxToken {
		panic("machine: out of tokens")
	}
	m.token++
	return m.token
}

// granted tells who holds; before is the trace of the hold that was waited for.
func (m *Machine) granted(id park.ID, h session.Hold, before string) {
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
		Code: park.Granted, Token: h.Token, Arm: int(h.Arm), Waited: before,
	})
}

// busy answers a try that would have had to wait, with who is in its way.
func (m *Machine) busy(id park.ID, w *park.Waiter) {
	arm := 0
	for m.free(w, arm) {
		arm++
	}
	d := m.describe(w.Arms[arm].On, busyParties, 0)
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
		Code: park.Busy, Arm: arm, Description: d,
	})
	m.conclude(id, park.Busy, 0)
}

func (m *Machine) park(id park.ID, w park.Waiter, limit int64) {
	if limit > 0 {
		w.Until = m.clock + park.Clock(limit)
		m.book.SetAlarm(w.Until, id)
	}
	m.lot.Park(id, w)
	m.book.Park(id)
}

// leave takes a wait off its queues. It reports whether id waited.
func (m *Machine) leave(id park.ID) bool {
	w, ok := m.lot.Leave(id, m.touch)
	if !ok {
		return false
	}
	if w.Until != 0 {
		m.book.StopAlarm(w.Until, id)
	}
	m.book.Unpark(id)
	return true
}

// release gives back all that a call holds, and says why. It reports whether it held
// anything.
func (m *Machine) release(id park.ID, why Ending) bool {
	h, ok := m.book.Drop(id)
	if !ok {
		return false
	}
	if h.Free != 0 {
		m.book.StopAlarm(h.Free, id)
	}
	for _, a := range h.Arms {
		m.giveBack(id, a, a.N)
		m.ended(id, a, &h, why)
	}
	m.conclude(id, park.Over, 0)
	return true
}

// ended says that an arm of a hold, or some of its permits, were given back, and marks who
// waits for them.
func (m *Machine) ended(id park.ID, a park.Arm, h *session.Hold, why Ending) {
	c := m.noteHold(ChangeEnded, id, a, h)
	c.Held, c.Ending = int64(m.clock-h.Since), why
	if head, ok := m.lot.Head(a.On, a.Side); ok {
		m.freed(a.On, h.Terms.Get().Trace)
		m.mark(head)
	}
}

// touch marks the head of one of an object's queues to be tried.
func (m *Machine) touch(on park.Object, side park.Side) {
	if head, ok := m.lot.Head(on, side); ok {
		m.mark(head)
	}
}

func (m *Machine) mark(id park.ID) {
	if w, ok := m.lot.Get(id); ok {
		m.turns.Put(turnOf(&w), id)
	}
}

// settle tries who is marked, the least (priority, ticket) first, until nobody can
// proceed (SEMANTICS D5). Who proceeds leaves its queues, and so marks who is behind.
func (m *Machine) settle() {
	for m.turns.Len() > 0 {
		t, id, _ := m.turns.First(turn{prio: math.MaxInt32})
		m.turns.Delete(t)
		w, ok := m.lot.Get(id)
		if !ok || w.Ticket != t.ticket {
			continue // it left meanwhile
		}
		arm, ok := m.try(&w)
		if !ok {
			continue
		}
		m.leave(id) // and mark those behind, who are tried once it has what it takes
		m.grant(id, &w, arm, true)
	}
}

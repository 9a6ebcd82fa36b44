package machine

import (
	"math"
	"slices"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/lock"
)

// wait is a newcomer: it tries, and if it cannot proceed it parks (SEMANTICS D2).
func (m *Machine) wait(id park.ID, op *Wait) {
	if m.crowded(id, session.MaxOpen) {
		return
	}
	if takes(op.Arms) && m.book.Full(id.Session) {
		m.answer(id, park.Full, session.MaxBytes)
		return
	}
	if slices.ContainsFunc(op.Arms, ofCond) {
		m.answer(id, park.Invalid, 0) // only await gives up the lock with which it waits
		return
	}
	if code, value := m.admit(op); code != 0 {
		m.answer(id, code, value)
		return
	}
	w := m.waiter(op)
	arm, ok := m.try(id, &w)
	for ok && m.glutted(id, &w, arm) {
		arm, ok = m.try(id, &w)
	}
	switch {
	case ok:
		m.proceed(id, &w, arm, false)
	case op.Try:
		m.busy(id, &w)
	case m.heavy(op.Arms):
		m.answer(id, park.Limit, MaxParkedBytes)
	default:
		m.park(id, w, op.Limit)
	}
}

// waiter is who makes a wait, at the end of all its queues.
func (m *Machine) waiter(op *Wait) park.Waiter {
	return park.Waiter{
		Arms: op.Arms, Commit: op.Commit, Prio: op.Prio, Ticket: m.lot.Ticket(),
		Since: m.clock, Terms: park.NewTerms(park.Terms{
			Delay: op.Delay, Note: op.Note, Trace: op.Trace, Lineage: m.lineage(op.Lineage),
		}),
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
	case park.ValueBytes(op.Arms) > MaxValues:
		return park.Invalid, MaxValues
	}
	if code, value := admitLineage(op.Lineage); code != 0 {
		return code, value
	}
	for _, a := range op.Arms {
		if op.Commit == park.Every && !InEvery(a.On.Kind) {
			return park.Invalid, 0
		}
		channels := m.channels.Len()
		code, value := m.room(a.On.Kind).Admit(a)
		if m.channels.Len() > channels {
			m.made(a.On)
			m.loosen(a.On)
		}
		if code != 0 {
			return code, value
		}
		if m.lot.Waiting(a.On) >= MaxWaiters && !op.Try {
			return park.Limit, MaxWaiters
		}
	}
	if m.lot.Parked() >= MaxParked && !op.Try {
		return park.Limit, MaxParked
	}
	if m.lot.Names() >= MaxNamed && !op.Try && !op.Lineage.Empty() {
		return park.Limit, MaxNamed
	}
	return m.misfit(op.Arms)
}

// heavy reports whether the values of arms are more than may wait with those that do.
func (m *Machine) heavy(arms []park.Arm) bool {
	n := park.ValueBytes(arms)
	return n > 0 && m.lot.Bytes()+n > MaxParkedBytes
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
func (m *Machine) try(id park.ID, w *park.Waiter) (arm int, ok bool) {
	m.steps++
	ready := 0
	for i := range w.Arms {
		switch free := m.free(id, w, i); {
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
	return m.choose(id, w, ready), true
}

// choose takes a fair one of several ready arms (SEMANTICS D3).
func (m *Machine) choose(id park.ID, w *park.Waiter, ready int) int {
	nth := int(mix64(m.steps) % uint64(ready)) //nolint:gosec // ready is at most MaxArms
	for i := range w.Arms {
		if m.free(id, w, i) {
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

// free says whether an arm can proceed and would overtake nobody but the peer that it would
// meet, if it would meet one (SEMANTICS D2).
func (m *Machine) free(id park.ID, w *park.Waiter, arm int) bool {
	a := &w.Arms[arm]
	var peer park.ID
	switch m.room(a.On.Kind).Ready(*a) {
	case park.Yes:
	case park.Meet:
		var ok bool
		if peer, ok = m.lot.Peer(a.On, opposite(a.Side), id); !ok {
			return false
		}
	case park.No:
		return false
	}
	return !m.lot.Ahead(a.On, a.Side, w.Prio, w.Ticket, peer)
}

// proceed commits what try has found, and tells. waited says that the call was parked; it is
// not any more.
func (m *Machine) proceed(id park.ID, w *park.Waiter, arm int, waited bool) {
	if arm == every {
		for _, a := range w.Arms {
			m.room(a.On.Kind).Commit(id, a, w.Prio, nil)
		}
		m.grant(id, w, arm, park.Result{Code: park.Granted}, waited)
		return
	}
	a := w.Arms[arm]
	r := m.room(a.On.Kind)
	if r.Ready(a) == park.Meet {
		m.meet(id, w, arm, waited)
		return
	}
	m.got(id, w, arm, r.Commit(id, a, w.Prio, nil), waited)
	if a.On.Kind == park.KindChan {
		m.touchAll(a.On) // a slot or an element for somebody else
		m.loosen(a.On)   // it may have been the last element
	}
}

// got gives a call what its arm got, and tells. The result of a once is read, not taken, and
// stays where it is: it is not kept for each of a hundred thousand who wait for it (SEMANTICS
// B3). That a wait group was at zero is kept, because it may not stay so.
func (m *Machine) got(id park.ID, w *park.Waiter, arm int, r park.Result, waited bool) {
	k := session.Kept{Code: r.Code, Value: r.Value, Arm: uint16(arm), Data: r.Data} //nolint:gosec // below MaxArms
	switch {
	case r.Code == park.Granted:
		m.grant(id, w, arm, r, waited)
	case r.Code == park.Done && w.Arms[arm].On.Kind != park.KindOnce:
		m.keep(id, k)
	default:
		m.result(id, k)
	}
}

// grant makes what a call got its hold, and tells.
func (m *Machine) grant(id park.ID, w *park.Waiter, arm int, r park.Result, waited bool) {
	h := session.Hold{Arms: w.Arms, Since: m.clock, Terms: w.Terms.Held()}
	if arm != every {
		h.Arms, h.Arm = m.holdArm(w.Arms, arm), uint16(arm) //nolint:gosec // below MaxArms
	}
	if slices.ContainsFunc(h.Arms, m.exclusive) {
		h.Token = m.nextToken()
	}
	for _, a := range h.Arms {
		m.noteHold(ChangeGranted, id, a, &h).Waited = int64(m.clock - w.Since)
	}
	m.book.Grant(id, h)
	m.book.Lend(id, m.delivered(id, &h))
	before := ""
	if waited {
		before = m.waitedFor(w, h.Arms)
	}
	m.granted(id, h, r, before)
	if st, _ := m.book.State(id.Session); st.Revoked {
		m.answer(id, park.Recalled, 0) // as what it held already has been (SEMANTICS A6)
	}
}

// holdArm is the arm that a wait got, as its hold has it: that must not keep its waiter's arms
// alive, nor what only waiters have.
func (m *Machine) holdArm(arms []park.Arm, arm int) []park.Arm {
	_, signalled := lock.TookSignal(arms[arm])
	if len(arms) == 1 && !signalled {
		return arms
	}
	only := slices.Clone(arms[arm : arm+1])
	if signalled {
		only[0].Value = ""
	}
	return only
}

func (m *Machine) nextToken() park.Token {
	if m.token == maxToken {
		panic("machine: out of tokens")
	}
	m.token++
	return m.token
}

// granted tells who holds; before is the trace of the hold that was waited for.
func (m *Machine) granted(id park.ID, h session.Hold, r park.Result, before string) {
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
		Code: park.Granted, Token: h.Token, Arm: int(h.Arm), Value: r.Value, Data: r.Data, Waited: before,
	})
}

// held tells once more who holds.
func (m *Machine) held(id park.ID, h session.Hold) {
	m.granted(id, h, m.room(h.Arms[0].On.Kind).Held(id, h.Arms[0]), "")
}

// busy answers a try that would have had to wait, with who is in its way.
func (m *Machine) busy(id park.ID, w *park.Waiter) {
	arm := 0
	for m.free(id, w, arm) {
		arm++
	}
	d := m.describe(w.Arms[arm].On, busyParties, 0)
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
		Code: park.Busy, Arm: arm, Description: d,
	})
	m.conclude(id, session.Kept{Code: park.Busy})
}

// park makes a call wait, unless it would wait for ever (SEMANTICS G2).
func (m *Machine) park(id park.ID, w park.Waiter, limit int64) {
	if limit > 0 {
		w.Until = m.clock + park.Clock(limit)
	}
	m.lot.Park(id, w)
	if cycle := m.deadlocked(id, &w); cycle != nil {
		m.lot.Leave(id, func(park.Object, park.Side) {}) // all others stand as before: nobody has moved up
		m.refuseWait(id, cycle)
		return
	}
	if w.Until != 0 {
		m.book.SetAlarm(w.Until, id)
	}
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
	for _, a := range w.Arms {
		m.loosen(a.On)
	}
	return true
}

// loosen remembers that an object may have nothing left that must stay.
func (m *Machine) loosen(on park.Object) {
	if on.Kind == park.KindChan {
		m.loose = append(m.loose, on)
	}
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
	m.book.Lend(id, -m.delivered(id, &h))
	for _, a := range h.Arms {
		switch why {
		case EndAcked:
			m.channels.Ack(id, a.On)
		case EndCompleted: // the room has ended it
		default:
			m.room(a.On.Kind).Release(id, a, a.N)
		}
		m.ended(id, a, &h, why)
	}
	m.conclude(id, session.Kept{Code: park.Over})
	return true
}

// ended says that an arm of a hold, or some of its permits, were given back, and marks who
// waits for them.
func (m *Machine) ended(id park.ID, a park.Arm, h *session.Hold, why Ending) {
	c := m.noteHold(ChangeEnded, id, a, h)
	c.Held, c.Ending = int64(m.clock-h.Since), why
	if m.lot.Waiting(a.On) > 0 {
		m.freed(a.On, h.Terms.Get().Trace)
		m.touchAll(a.On)
	}
	m.loosen(a.On)
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
		arm, ok := m.try(id, &w)
		if !ok {
			continue
		}
		if m.glutted(id, &w, arm) {
			m.mark(id)
			continue
		}
		m.leave(id) // and mark those behind, who are tried once it has what it takes
		m.proceed(id, &w, arm, true)
	}
	for _, on := range m.loose {
		if m.lot.Waiting(on) == 0 {
			m.room(on.Kind).Tidy(on)
		}
	}
	m.loose = m.loose[:0]
}

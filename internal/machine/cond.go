package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/lock"
)

// ofCond reports whether an arm is of a cond: a wait has at most one, and then nothing else.
func ofCond(a park.Arm) bool { return a.On.Kind == park.KindCond }

// await lets go of a lock and waits for a signal of a cond, in one step (SEMANTICS E6). What
// it comes to is a hold of the lock.
func (m *Machine) await(id park.ID, to park.Seq, op *Wait) {
	target := park.ID{Session: id.Session, Seq: to}
	h, ok := m.book.Hold(target)
	switch {
	case !ok:
		m.answer(id, park.NotFound, 0)
		return
	case op.Try || len(op.Arms) != 1 || !ofCond(op.Arms[0]),
		len(h.Arms) != 1 || !lock.Exclusive(h.Arms[0]) || h.Arms[0].On != lock.Woken(op.Arms[0]).On:
		m.answer(id, park.Invalid, 0)
		return
	}
	if code, value := m.admit(op); code != 0 {
		m.answer(id, code, value)
		return
	}
	if m.heavy(op.Arms) {
		m.answer(id, park.Limit, MaxParkedBytes)
		return
	}
	m.release(target, EndReleased)
	m.park(id, m.waiter(op), op.Limit)
}

// signal moves the first waiters of a cond, at most n, to the queue of their lock, in their
// order. It returns how many those were.
func (m *Machine) signal(id park.ID, on park.Object, n int64) {
	if on.Kind != park.KindCond || !park.ValidName(on.Name) || n < 1 {
		m.answer(id, park.Invalid, 0)
		return
	}
	if m.crowded(id, session.MaxOpen) {
		return
	}
	m.keep(id, session.Kept{Code: park.Done, Value: m.wake(on, n)})
}

// wake is signal without an answer. One of which a single signal is to be passed on if it
// ends before it has the lock remembers whose it was.
func (m *Machine) wake(on park.Object, n int64) (woken int64) {
	for woken < n {
		id, ok := m.lot.Head(on, park.Alone)
		if !ok {
			break
		}
		w, _ := m.lot.Leave(id, func(park.Object, park.Side) {}) // those behind wait for a signal too
		a := lock.Woken(w.Arms[0])
		if n == 1 {
			a = lock.Signalled(w.Arms[0])
		}
		w.Arms = []park.Arm{a}
		w.Ticket = m.lot.Ticket()
		m.lot.Park(id, w)
		if cycle := m.deadlocked(id, &w); cycle != nil {
			m.leave(id) // and the signal is for the next
			m.refuseWait(id, cycle)
			continue
		}
		m.mark(id)
		woken++
	}
	return woken
}

// abandon is leave of a wait that ends without what it waited for: a signal that it took goes
// to the next.
func (m *Machine) abandon(id park.ID) bool {
	w, _ := m.lot.Get(id)
	if !m.leave(id) {
		return false
	}
	if len(w.Arms) == 1 {
		if cond, took := lock.TookSignal(w.Arms[0]); took {
			m.wake(cond, 1)
		}
	}
	return true
}

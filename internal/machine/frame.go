package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// frame executes what a session's stream sent, each op with the grants it causes. The
// stream is cut at the first op that is out of order (SEMANTICS B2).
func (m *Machine) frame(f *Frame) {
	if refusal := m.refuse(f); refusal != 0 {
		m.cut(f, refusal)
		return
	}
	for _, r := range f.Acked {
		m.book.Ack(f.Session, r.First, r.Last)
	}
	for i := range f.Ops {
		op := &f.Ops[i]
		st, live := m.book.Live(f.Session)
		switch {
		case !live: // it left
			m.cut(f, RefusedOver)
			return
		case op.Seq > st.Last+1:
			m.cut(f, RefusedGap)
			return
		case op.Seq <= st.Last:
			m.again(park.ID{Session: f.Session, Seq: op.Seq})
		default:
			id := park.ID{Session: f.Session, Seq: op.Seq}
			m.book.Spend(id)
			m.do(id, op)
			m.settle()
		}
	}
}

func (m *Machine) refuse(f *Frame) Refusal {
	st, live := m.book.Live(f.Session)
	switch {
	case !live && st.Revoked:
		return RefusedRevoked
	case !live:
		return RefusedOver
	case st.Epoch != f.Epoch || f.Epoch == 0: // a session without a stream has 0
		return RefusedOldEpoch
	}
	return 0
}

func (m *Machine) cut(f *Frame, r Refusal) {
	m.tell(Event{Type: EventCut, Session: f.Session, Epoch: f.Epoch, Refusal: r})
}

// do is the one switch over ops. The call's seq is spent already.
func (m *Machine) do(id park.ID, op *Op) {
	m.steps++
	switch op.Do {
	case DoWait:
		m.wait(id, &op.Wait)
	case DoEnd:
		m.endCall(id, op.To)
	case DoRelease:
		m.releasePart(id, op.To, op.N)
	case DoResize:
		m.resize(id, op.On, op.N)
	case DoDescribe:
		m.describeFor(id, op.On)
	case DoNoop:
		m.answer(id, park.Done, 0)
	case DoLeave:
		m.answer(id, park.Done, 0)
		m.end(id.Session, EndLeft)
	case DoProclaim:
		m.proclaim(id, op.To, op.Value)
	case DoTransfer:
		m.transfer(id, op.To, op.Heir)
	case DoAdd:
		m.add(id, op.On, op.N)
	case DoComplete:
		m.complete(id, op.To, op.Value, op.N)
	case DoAck:
		m.ack(id, op.To)
	case DoClose:
		m.closeChannel(id, op.On, op.N, op.Codec)
	case DoAwait:
		m.await(id, op.To, &op.Wait)
	case DoSignal:
		m.signal(id, op.On, op.N)
	case DoTable:
		m.table(id, op.On, op.Table)
	case DoDelete:
		m.remove(id, op.On)
	case DoRefuse:
		if op.N != 0 {
			m.answer(id, park.Limit, op.N)
		} else {
			m.answer(id, park.Forbidden, 0)
		}
	default:
		m.answer(id, park.Invalid, 0)
	}
}

// again answers a retry from what the call has become (SEMANTICS B2).
func (m *Machine) again(id park.ID) {
	if _, waits := m.lot.Get(id); waits {
		return // it joins the first try
	}
	if h, ok := m.book.Hold(id); ok {
		m.held(id, h)
		return
	}
	if k, ok := m.book.Kept(id); ok {
		m.result(id, k)
		return
	}
	m.answer(id, park.Over, 0)
}

// endCall is Cancel and Unlock (SEMANTICS B4): a wait leaves, a hold is released, a kept
// result stays until it is acknowledged. What the target got was told before; if
// nothing was, it had nothing.
func (m *Machine) endCall(id park.ID, to park.Seq) {
	if to == 0 || to >= id.Seq {
		m.answer(id, park.Invalid, 0)
		return
	}
	target := park.ID{Session: id.Session, Seq: to}
	if !m.abandon(target) {
		m.release(target, EndReleased)
	}
	m.answer(id, park.Done, 0)
}

// releasePart gives back some permits of a hold; the result is kept, because a retry
// must not give back more.
func (m *Machine) releasePart(id park.ID, to park.Seq, n int64) {
	target := park.ID{Session: id.Session, Seq: to}
	if m.crowded(id, 2*session.MaxOpen) {
		return
	}
	h, ok := m.book.Hold(target)
	switch {
	case !ok:
		m.answer(id, park.NotFound, 0)
		return
	case len(h.Arms) != 1 || h.Arms[0].On.Kind != park.KindSemaphore || n < 1 || n > h.Arms[0].N:
		m.answer(id, park.Invalid, h.Arms[0].N)
		return
	case n == h.Arms[0].N:
		m.release(target, EndReleased)
	default:
		a, part := h.Arms[0], h.Arms[0]
		a.N, part.N = a.N-n, n
		h.Arms = []park.Arm{a}
		m.book.Change(target, h)
		m.room(a.On.Kind).Release(target, a, n)
		m.ended(target, part, &h, EndReleased)
	}
	m.keep(id, session.Kept{Code: park.Done})
}

// resize sets a semaphore's limit and refuses, whole, each waiter that no longer fits
// (SEMANTICS E2).
func (m *Machine) resize(id park.ID, on park.Object, limit int64) {
	if m.crowded(id, session.MaxOpen) {
		return
	}
	was, _ := m.locks.Semaphore(on)
	code, value := m.locks.Resize(on, limit)
	if code != park.Done {
		m.answer(id, code, value)
		return
	}
	var misfits []park.ID
	for waiter, w := range m.lot.Queue(on) {
		for _, a := range w.Arms {
			if a.On == on && a.N > limit {
				misfits = append(misfits, waiter)
				break
			}
		}
	}
	for _, waiter := range misfits {
		m.abandon(waiter)
		m.answer(waiter, park.Invalid, limit)
	}
	if limit < was.Limit {
		m.shrunk(on)
	}
	m.note(ChangeResized, id, park.Arm{On: on, N: limit})
	m.touch(on, park.Alone)
	m.keep(id, session.Kept{Code: park.Done, Value: value})
}

// keep answers a call that is done and keeps the answer until it is acknowledged: of a
// session without a stream every answer is kept, in another way.
func (m *Machine) keep(id park.ID, k session.Kept) {
	if !m.book.Unary(id.Session) {
		m.book.Keep(id, k)
	}
	m.result(id, k)
}

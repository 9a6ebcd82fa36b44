package machine

import (
	"slices"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// Two waiters meet at a channel without a buffer: a sender and a receiver, both committed in
// one apply (SEMANTICS D2, E7). That heads find every pair: a waiter which may meet somebody,
// on either of its sides, would have done so when it came; so where somebody waits on both
// sides of such a channel it is one waiter, and it meets whoever comes next. Only a channel
// that is made while others wait for it has many on both sides, and then the heads of both
// are tried, until one side is empty or one waiter is left. Where the heads are two waiters
// they meet. Where they are one, a select of both sides, it meets whoever is behind it.

func opposite(s park.Side) park.Side {
	if s == park.Send {
		return park.Recv
	}
	return park.Send
}

// takes reports whether a wait may come to a result with data, which is kept.
func takes(arms []park.Arm) bool {
	return slices.ContainsFunc(arms, func(a park.Arm) bool {
		return a.On.Kind == park.KindChan && a.Side == park.Recv
	})
}

// glutted refuses who would get more data than may be kept for its session: the waiter, which
// is about to proceed, or the one that it would meet. If it reports true the waiter must be
// tried anew, if it waits still. Nothing was taken from anywhere, so nothing is lost.
func (m *Machine) glutted(id park.ID, w *park.Waiter, arm int) bool {
	if arm == every || w.Arms[arm].On.Kind != park.KindChan {
		return false
	}
	who := id
	if !takes(w.Arms[arm:arm+1]) || !m.book.Full(id.Session) {
		peer, _, ok := m.peer(id, &w.Arms[arm])
		if !ok || w.Arms[arm].Side != park.Send || !m.book.Full(peer.Session) {
			return false
		}
		who = peer
	}
	m.leave(who)
	m.answer(who, park.Full, session.MaxBytes)
	return true
}

// peer is who an arm that can only meet somebody would meet, if there is anybody.
func (m *Machine) peer(id park.ID, a *park.Arm) (peer park.ID, w park.Waiter, ok bool) {
	if m.room(a.On.Kind).Ready(*a) != park.Meet {
		return park.ID{}, park.Waiter{}, false
	}
	if peer, ok = m.lot.Peer(a.On, opposite(a.Side), id); ok {
		w, _ = m.lot.Get(peer)
	}
	return peer, w, ok
}

// meet commits an arm together with that of its peer, who waits on the other side.
func (m *Machine) meet(id park.ID, w *park.Waiter, arm int, waited bool) {
	a := w.Arms[arm]
	peer, x, ok := m.peer(id, &a)
	if !ok {
		panic("machine: an arm meets nobody")
	}
	other := slices.IndexFunc(x.Arms, func(b park.Arm) bool { return b.On == a.On && b.Side == opposite(a.Side) })
	b := x.Arms[other]
	m.leave(peer)
	r := m.room(a.On.Kind)
	mine, its := r.Commit(id, a, w.Prio, &b), r.Commit(peer, b, x.Prio, &a)
	m.got(peer, &x, other, its, true)
	m.got(id, w, arm, mine, waited)
}

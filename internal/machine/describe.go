package machine

import (
	"cmp"
	"iter"
	"slices"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// How much of an object is told: parties of a Describe and of a Busy, and the bytes of
// what they say of themselves, so that an answer stays far below a message's 1 MiB.
const (
	maxParties  = 100
	busyParties = 8
	maxTold     = 256 << 10
)

// A Description is an object at one log index.
type Description struct {
	On               park.Object
	Index            uint64
	Holders, Waiters []Party // at most 100 each; waiters in order
	Waiting          int64   // all of them
	Revision         uint64  // of the last change of anything at that index
	Stored           bool    // there is something besides holders and waiters: Traits
	park.Traits
}

// A Party holds or waits.
type Party struct {
	Session park.SessionID
	Who     string
	Note    string
	Value   string // a candidate's
	Trace   string
	Token   park.Token
	Shared  bool
	Prio    int32     // of a waiter
	Side    park.Side // likewise
	N       int64
	For     int64 // nanoseconds of the cluster clock
	Renewed int64 // since its session was renewed, nanoseconds
	TTL     int64 // of its session; with Renewed, when it ends unless it is renewed
	Delayed int64 // what remains of its lock-delay; 0 if its session lives
}

// SessionList is the answer to Sessions.
type SessionList struct {
	Index    uint64
	Sessions []SessionInfo
}

// SessionInfo is one live session.
type SessionInfo struct {
	ID           park.SessionID
	Who          string
	TTL          int64
	Remaining    int64 // until it ends, unrenewed
	Holds, Waits int64
	Revoked      bool
}

// describeFor answers a Describe; ErrNotFound if there is nothing of that name.
func (m *Machine) describeFor(id park.ID, on park.Object) {
	d := m.Describe(on)
	if d.Empty() {
		m.answer(id, park.NotFound, 0)
		return
	}
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
		Code: park.Done, Description: d,
	})
	m.conclude(id, session.Kept{Code: park.Done})
}

func (m *Machine) describe(on park.Object, holders, waiters int) *Description {
	d := &Description{On: on, Index: m.index, Waiting: m.lot.Waiting(on), Revision: m.revision}
	room := m.room(on.Kind)
	d.Traits, d.Stored = room.Traits(on)
	told := 0
	for id := range room.Holders(on) {
		if len(d.Holders) == holders || told > maxTold {
			break
		}
		h, _ := m.book.Hold(id)
		p := m.party(id, h.Terms, h.Since)
		a := h.Arms[armOf(h.Arms, on)]
		p.Token, p.Shared, p.N = h.Token, a.Shared, a.N
		if on.Kind == park.KindElection {
			p.Value = a.Value
		}
		if h.Free != 0 {
			p.Delayed = int64(h.Free - m.clock)
		}
		d.Holders = append(d.Holders, p)
		told += p.size()
	}
	slices.SortStableFunc(d.Holders, func(a, b Party) int { return cmp.Compare(b.For, a.For) })
	met := make(map[park.ID]bool) // used to look up only
	for id, w := range m.lot.Queue(on) {
		if len(d.Waiters) == waiters || told > maxTold {
			break
		}
		p := m.party(id, w.Terms, w.Since)
		a := w.Arms[armOf(w.Arms, on)]
		p.Shared, p.N, p.Prio = a.Shared, a.N, w.Prio
		p.Side = sideOf(w.Arms, on, met[id])
		met[id] = true
		if on.Kind == park.KindElection {
			p.Value = a.Value
		}
		d.Waiters = append(d.Waiters, p)
		told += p.size()
	}
	return d
}

// tenants yields who holds an object, by call, and the arm that each has it by.
func (m *Machine) tenants(on park.Object) iter.Seq2[park.ID, park.Arm] {
	return func(yield func(park.ID, park.Arm) bool) {
		for id := range m.room(on.Kind).Holders(on) {
			h, _ := m.book.Hold(id)
			if !yield(id, h.Arms[armOf(h.Arms, on)]) {
				return
			}
		}
	}
}

// armOf is the first arm that is on an object, -1 if none is.
func armOf(arms []park.Arm, on park.Object) int {
	return slices.IndexFunc(arms, func(a park.Arm) bool { return a.On == on })
}

// sideOf is the queue on which one who waits for an object stands, first or again.
func sideOf(arms []park.Arm, on park.Object, again bool) park.Side {
	first, last := park.Recv, park.Alone
	for _, a := range arms {
		if a.On == on {
			first, last = min(first, a.Side), max(last, a.Side)
		}
	}
	if again {
		return last
	}
	return first
}

func (p *Party) size() int { return len(p.Who) + len(p.Note) + len(p.Value) }

// Empty reports whether there is nothing of that name.
func (d *Description) Empty() bool { return len(d.Holders) == 0 && d.Waiting == 0 && !d.Stored }

// Describe returns who holds and who waits.
func (m *Machine) Describe(on park.Object) *Description {
	return m.describe(on, maxParties, maxParties)
}

// Traits returns what an object is, besides who holds it and who waits for it.
func (m *Machine) Traits(on park.Object) park.Traits {
	traits, _ := m.room(on.Kind).Traits(on)
	return traits
}

func (m *Machine) party(id park.ID, terms *park.Terms, since park.Clock) Party {
	l, _ := m.book.Lease(id.Session)
	st, _ := m.book.State(id.Session)
	t := terms.Get()
	return Party{
		Session: id.Session, Who: l.Who, Note: t.Note, Trace: t.Trace, For: int64(m.clock - since),
		Renewed: int64(m.clock - st.Stamp), TTL: l.TTL,
	}
}

// sessions lists the live ones.
func (m *Machine) sessions() SessionList {
	list := SessionList{Index: m.index}
	for s, st := range m.book.Sessions() {
		if st.Over {
			continue
		}
		l, _ := m.book.Lease(s)
		list.Sessions = append(list.Sessions, SessionInfo{
			ID: s, Who: l.Who, TTL: l.TTL, Remaining: remaining(l, st, m.clock),
			Holds: count(m.book.HoldsOf(s)), Waits: count(m.lot.Of(s)), Revoked: st.Revoked,
		})
	}
	return list
}

func remaining(l session.Lease, st session.State, clock park.Clock) int64 {
	return int64(st.Stamp-clock) + l.TTL
}

func count[V any](seq func(func(park.ID, V) bool)) int64 {
	n := int64(0)
	for range seq {
		n++
	}
	return n
}

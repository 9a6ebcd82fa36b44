package machine

import (
	"cmp"
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
	Limit, Held      int64   // of a semaphore
}

// A Party holds or waits.
type Party struct {
	Session park.SessionID
	Who     string
	Note    string
	Token   park.Token
	Shared  bool
	N       int64
	For     int64 // nanoseconds of the cluster clock
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
	d := m.describe(on, maxParties, maxParties)
	if len(d.Holders) == 0 && d.Waiting == 0 && d.Limit == 0 {
		m.answer(id, park.NotFound, 0)
		return
	}
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Code: park.Done, Description: d,
	})
}

func (m *Machine) describe(on park.Object, holders, waiters int) *Description {
	d := &Description{On: on, Index: m.index, Waiting: m.lot.Waiting(on)}
	if s, ok := m.locks.Semaphore(on); ok {
		d.Limit, d.Held = s.Limit, s.Held
	}
	told := 0
	for id, share := range m.locks.Holders(on) {
		if len(d.Holders) == holders || told > maxTold {
			break
		}
		h, _ := m.book.Hold(id)
		p := m.party(id, h.Note, h.Since)
		p.Token, p.Shared, p.N = h.Token, share.Shared, share.N
		if h.Free != 0 {
			p.Delayed = int64(h.Free - m.clock)
		}
		d.Holders = append(d.Holders, p)
		told += len(p.Who) + len(p.Note)
	}
	slices.SortStableFunc(d.Holders, func(a, b Party) int { return cmp.Compare(b.For, a.For) })
	for id, w := range m.lot.Queue(on) {
		if len(d.Waiters) == waiters || told > maxTold {
			break
		}
		p := m.party(id, w.Note, w.Since)
		for _, a := range w.Arms {
			if a.On == on {
				p.Shared, p.N = a.Shared, a.N
				break
			}
		}
		d.Waiters = append(d.Waiters, p)
		told += len(p.Who) + len(p.Note)
	}
	return d
}

func (m *Machine) party(id park.ID, note string, since park.Clock) Party {
	l, _ := m.book.Lease(id.Session)
	return Party{Session: id.Session, Who: l.Who, Note: note, For: int64(m.clock - since)}
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

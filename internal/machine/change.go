package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// A Change is something that happened to an object. Every node makes the same ones under
// the same numbers, so that a watch resumes at any of them (SEMANTICS B5).
type Change struct {
	Revision uint64 // of the whole machine; rises by one with every change
	Type     ChangeType
	On       park.Object
	ID       park.ID // whose hold; of ChangeResized who asked for it
	Who      string
	Note     string
	Token    park.Token
	Shared   bool
	N        int64  // permits, or the new limit; 1 of any other hold or entry, else 0
	Key      string // of a map's entry
	Value    string
	Trace    string
	Clock    park.Clock // when
	Waited   int64      // of ChangeGranted, nanoseconds
	Held     int64      // of ChangeEnded and ChangeDelayed, nanoseconds
	Ending   Ending     // of ChangeEnded and ChangeDelayed
}

// A ChangeType says what a Change is. The values are the wire's; never reorder them.
type ChangeType uint8

const (
	ChangeGranted    ChangeType = iota + 1 // a hold begins
	ChangeEnded                            // a hold, or some of its permits, is given back
	ChangeDelayed                          // its session failed, and its lock-delay begins
	ChangeProclaimed                       // a leader has another value
	ChangeResized                          // a semaphore has another limit
	ChangeStored                           // an entry of a map has another value
	ChangeDeleted                          // an entry of a map is gone; Value is what it was
	ChangeClosed                           // a channel is closed
	ChangeCut                              // a session ended before its Done of a wait group
	ChangeRemoved                          // what was stored of an object is deleted
)

// An Ending says how a hold ends. The values are the wire's; never reorder them.
type Ending uint8

const (
	EndReleased    Ending = iota + 1 // its holder gave it back
	EndExpired                       // its session's lease ran out
	EndReplaced                      // its client opened another session in the place of its
	EndRevoked                       // an operator took its session away
	EndLeft                          // its client closed the session
	EndTransferred                   // its leader handed over to another candidate
	EndDelayOver                     // its lock-delay is over
	EndAcked                         // its element is acknowledged
	EndCompleted                     // its once is done
)

// Changes are those of the last Apply, in order. They are good until the next: an entry of
// many would cost as much again in memory that is used once, so whoever keeps one copies it.
func (m *Machine) Changes() []Change { return m.changes }

// Revision is the number of the last change.
func (m *Machine) Revision() uint64 { return m.revision }

// note adds a change about an arm of a call. The rest of it is the caller's to say at once.
func (m *Machine) note(t ChangeType, id park.ID, a park.Arm) *Change {
	m.revision++
	m.changes = append(m.changes, Change{
		Revision: m.revision, Type: t, On: a.On, ID: id, Who: m.book.Who(id.Session),
		Shared: a.Shared, N: a.N, Value: a.Value, Clock: m.clock,
	})
	return &m.changes[len(m.changes)-1]
}

// noteHold is note of a hold.
func (m *Machine) noteHold(t ChangeType, id park.ID, a park.Arm, h *session.Hold) *Change {
	c := m.note(t, id, a)
	terms := h.Terms.Get()
	c.Token, c.Note, c.Trace = h.Token, terms.Note, terms.Trace
	return c
}

// A freeing is the last end in this entry of a hold of an object.
type freeing struct {
	trace    string
	revision uint64 // of its change
	ticket   uint64 // the last one given out by then: a later one did not wait for the hold
}

// freed notes the end of a hold, if it has a trace; if not, nobody is told of one before.
func (m *Machine) freed(on park.Object, trace string) {
	if trace == "" {
		delete(m.freeings, on)
		return
	}
	if m.freeings == nil {
		m.freeings = map[park.Object]freeing{}
	}
	m.freeings[on] = freeing{trace, m.revision, m.lot.LastTicket()}
}

// waitedFor is the trace of the hold that was the last to end in this entry of those that a
// waiter waited for; "" if that is not known.
func (m *Machine) waitedFor(w *park.Waiter, arms []park.Arm) string {
	if len(m.freeings) == 0 {
		return ""
	}
	var last freeing
	for _, a := range arms {
		if f := m.freeings[a.On]; f.ticket >= w.Ticket && f.revision > last.revision {
			last = f
		}
	}
	return last.trace
}

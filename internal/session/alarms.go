package session

import (
	"cmp"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
)

// Alarms are everything that falls due on the cluster clock, in one order: a session's
// lease or, once it is over, its grace (seq 0), a wait's limit, a lock-delay.
type Alarms struct {
	due    cow.Index[alarm, struct{}]
	placed cow.Index[number, park.Clock] // where a session's alarm stands
}

type alarm struct {
	at park.Clock
	id park.ID
}

func (a alarm) Compare(b alarm) int {
	if c := cmp.Compare(a.at, b.at); c != 0 {
		return c
	}
	return a.id.Compare(b.id)
}

func newAlarms() Alarms {
	return Alarms{cow.NewIndex[alarm, struct{}](), cow.NewIndex[number, park.Clock]()}
}

func (a *Alarms) copy() Alarms { return Alarms{a.due.Copy(), a.placed.Copy()} }

func (a *Alarms) place(s park.SessionID, at park.Clock) {
	a.unplace(s)
	a.placed.Put(number(s), at)
	a.due.Put(alarm{at, park.ID{Session: s}}, struct{}{})
}

func (a *Alarms) unplace(s park.SessionID) {
	if at, ok := a.placed.Delete(number(s)); ok {
		a.due.Delete(alarm{at, park.ID{Session: s}})
	}
}

// SetAlarm makes a wait or a hold fall due at a time.
func (b *Book) SetAlarm(at park.Clock, id park.ID) { b.alarms.due.Put(alarm{at, id}, struct{}{}) }

// StopAlarm undoes SetAlarm.
func (b *Book) StopAlarm(at park.Clock, id park.ID) { b.alarms.due.Delete(alarm{at, id}) }

// NextDue is when the first alarm stands; a lease's may be early.
func (b *Book) NextDue() (park.Clock, bool) {
	a, _, ok := b.alarms.due.First(alarm{at: -1 << 63})
	return a.at, ok
}

// Due returns what has fallen due by clock, the first of it; it stays until the caller
// has dealt with it. The alarm of a session that stands too early is moved on the way,
// even if it is due all the same: what ends first must not depend on whether this node
// has restored its alarms from a snapshot, where they are exact.
func (b *Book) Due(clock park.Clock) (park.ID, bool) {
	for {
		a, _, ok := b.alarms.due.First(alarm{at: -1 << 63})
		if !ok || a.at > clock {
			return park.ID{}, false
		}
		if a.id.Seq != 0 {
			return a.id, true
		}
		if at := b.ends(a.id.Session); a.at < at {
			b.alarms.place(a.id.Session, at)
		} else {
			return a.id, true
		}
	}
}

// ends is when a live session's lease ends, or one that is over is forgotten.
func (b *Book) ends(s park.SessionID) park.Clock {
	st, ok := b.State(s)
	if !ok {
		panic("session: an alarm of no session")
	}
	if st.Over {
		return st.Forget
	}
	l, _ := b.Lease(s)
	return st.Stamp + park.Clock(l.TTL)
}

// Overdue reports whether a live session's lease had ended by clock.
func (b *Book) Overdue(s park.SessionID, clock park.Clock) bool {
	_, live := b.Live(s)
	return live && b.ends(s) <= clock
}

package session

import (
	"cmp"

	"coordd.dev/internal/park"
)

// An alarm is something that falls due on the cluster clock: a session's lease or, once
// it is over, the time to forget it (seq 0), a wait's limit, a lock-delay.
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

// place moves a session's alarm.
func (b *Book) place(s park.SessionID, at park.Clock) {
	b.unplace(s)
	b.change(s).alarm = at
	b.SetAlarm(at, park.ID{Session: s})
}

func (b *Book) unplace(s park.SessionID) {
	if st, _ := b.State(s); st.alarm != 0 {
		b.StopAlarm(st.alarm, park.ID{Session: s})
	}
}

// SetAlarm makes a wait or a hold fall due at a time.
func (b *Book) SetAlarm(at park.Clock, id park.ID) { b.alarms.Put(alarm{at, id}, struct{}{}) }

// StopAlarm undoes SetAlarm.
func (b *Book) StopAlarm(at park.Clock, id park.ID) { b.alarms.Delete(alarm{at, id}) }

// NextDue is when the first alarm stands; a lease's may be early.
func (b *Book) NextDue() (park.Clock, bool) {
	a, _, ok := b.alarms.First(alarm{at: -1 << 63})
	return a.at, ok
}

// Due returns what has fallen due by clock, the first of it; it stays until the caller
// has dealt with it. The alarm of a session that stands too early is moved on the way,
// even if it is due all the same: what ends first must not depend on whether this node
// has restored its alarms from a snapshot, where they are exact.
func (b *Book) Due(clock park.Clock) (park.ID, bool) {
	for {
		a, _, ok := b.alarms.First(alarm{at: -1 << 63})
		if !ok || a.at > clock {
			return park.ID{}, false
		}
		if a.id.Seq != 0 {
			return a.id, true
		}
		if at := b.ends(a.id.Session); a.at < at {
			b.place(a.id.Session, at)
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
	return st.Stamp + park.Clock(st.lease.TTL)
}

// Overdue reports whether a live session's lease had ended by clock.
func (b *Book) Overdue(s park.SessionID, clock park.Clock) bool {
	_, live := b.Live(s)
	return live && b.ends(s) <= clock
}

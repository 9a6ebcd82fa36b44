package session

import (
	"errors"
	"fmt"

	"coordd.dev/internal/park"
)

// Check compares the alarms with what should fall due, which is given for waits and
// delayed holds, and the running hashes with a recomputation.
func (b *Book) Check(calls map[park.ID]park.Clock) error {
	b.file()
	found := 0
	for a := range b.alarms.All() {
		if a.id.Seq != 0 {
			if at, ok := calls[a.id]; !ok || at != a.at {
				return fmt.Errorf("an alarm of %v at %d, should be %d (%v)", a.id, a.at, at, ok)
			}
			found++
			continue
		}
		if err := b.checkAlarm(a); err != nil {
			return err
		}
	}
	if found != len(calls) {
		return fmt.Errorf("%d calls have an alarm, %d should", found, len(calls))
	}
	if n := b.alarms.Len() - found; n != b.states.Len() || n != b.leases.Len() {
		return fmt.Errorf("%d alarms, %d states, %d leases of sessions", n, b.states.Len(), b.leases.Len())
	}
	for s, st := range b.states.All() {
		if l, ok := b.leases.Get(s); !ok || l != st.lease {
			return fmt.Errorf("session %v has another lease than its state says", park.SessionID(s))
		}
	}
	return errors.Join(b.leases.Check(), b.states.Check(), b.holds.Check(), b.kept.Check(), b.checkRequests(), b.checkBytes())
}

// checkBytes compares the bytes of each session's results with what is counted.
func (b *Book) checkBytes() error {
	bytes := map[park.SessionID]int64{}
	for id, k := range b.kept.All() {
		bytes[id.Session] += int64(len(k.Data))
	}
	for at, a := range b.requests.asked.All() {
		bytes[at.session] += int64(len(a.Data))
	}
	for s, st := range b.Sessions() {
		if st.bytes != bytes[s] {
			return fmt.Errorf("session %v has results of %d bytes, counted as %d", s, bytes[s], st.bytes)
		}
	}
	return nil
}

// checkRequests compares the requests with what is derived from them. open ones are the
// machine's to check.
func (b *Book) checkRequests() error {
	r := &b.requests
	done := map[park.SessionID]uint64{}
	for at, a := range r.asked.All() {
		if st, live := b.Live(at.session); !live || st.Epoch != 0 {
			return fmt.Errorf("request %q of session %v, which is over or has a stream", at.id, at.session)
		}
		if name := b.Request(park.ID{Session: at.session, Seq: a.Seq}); name != at.id {
			return fmt.Errorf("call %d of session %v is request %q, should be %q", a.Seq, at.session, name, at.id)
		}
		if a.Ended == 0 {
			continue
		}
		done[at.session]++
		if n := b.Ended(at.session); a.Ended > n || n-a.Ended >= KeptRequests {
			return fmt.Errorf("request %q was the %dth to end of session %v, and %d have", at.id, a.Ended, at.session, n)
		}
		if name, ok := r.ended.Get(ended{at.session, a.Ended}); !ok || name != at.id {
			return fmt.Errorf("the %dth call to end of session %v is %q, should be %q", a.Ended, at.session, name, at.id)
		}
	}
	total := 0
	// order-free: which fault is named first does not matter
	for s, n := range done {
		// Those that are kept are the last ones, so of the first of them it is known that those
		// before it went for their number, or for the bytes of those behind it.
		first, _, _ := r.ended.Last(ended{s, 0})
		if n > KeptRequests || first.n != b.Ended(s)-n+1 {
			return fmt.Errorf("%d ended requests of session %v are kept, %d ended", n, s, b.Ended(s))
		}
		total += int(n) //nolint:gosec // small
	}
	if r.ids.Len() != r.asked.Len() || r.ended.Len() != total {
		return fmt.Errorf("%d requests, %d ids, %d ended of %d", r.asked.Len(), r.ids.Len(), r.ended.Len(), total)
	}
	return r.asked.Check()
}

// checkAlarm checks a session's: where it is booked, never late if it lives, and exact
// once it is over.
func (b *Book) checkAlarm(a alarm) error {
	s := a.id.Session
	st, ok := b.State(s)
	if !ok || st.alarm != a.at {
		return fmt.Errorf("the alarm of session %v is at %d, booked at %d", s, a.at, st.alarm)
	}
	if ends := b.ends(s); a.at > ends || st.Over && a.at != ends {
		return fmt.Errorf("the alarm of session %v is at %d, it ends at %d", s, a.at, ends)
	}
	return nil
}

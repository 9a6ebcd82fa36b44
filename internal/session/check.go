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
	return errors.Join(b.leases.Check(), b.states.Check(), b.holds.Check(), b.kept.Check())
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

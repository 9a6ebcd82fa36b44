package lessee

import "time"

// Renew returns the lease to renew if it is due at now: every TTL/3, and TTL/10 after
// an unanswered try.
func (l *Lessee) Renew(now time.Duration) (Lease, bool) {
	now = l.advance(now)
	if !l.renewable() || now < l.renewDue() {
		return Lease{}, false
	}
	return l.try(now), true
}

// RenewAlong returns the lease if it is going to be due within TTL/12 of now and no try is
// unanswered. It is for a call that is made for others anyway: so leases that are renewed
// together are due together the next time.
func (l *Lessee) RenewAlong(now time.Duration) (Lease, bool) {
	now = l.advance(now)
	if !l.renewable() || l.session.tried > l.session.credited || now < l.renewDue()-l.cfg.TTL/renewAlongPart {
		return Lease{}, false
	}
	return l.try(now), true
}

func (l *Lessee) renewable() bool { return l.live() && !l.session.revoked }

func (l *Lessee) try(now time.Duration) Lease {
	s := &l.session
	s.tried = now
	return Lease{Session: s.id, Secret: s.secret, Start: now}
}

// renewDue is when the lease of the live session is to be renewed.
func (l *Lessee) renewDue() time.Duration {
	s := &l.session
	due := s.credited + l.cfg.TTL/renewPart
	if s.tried > s.credited { // unanswered as yet
		due = max(due, s.tried+l.cfg.TTL/renewAgainPart)
	}
	return due
}

// Renewed takes the answer to the call that carried lease.
func (l *Lessee) Renewed(now time.Duration, lease Lease, r Renewal) {
	now = l.advance(now)
	if !l.live() || lease.Session != l.session.id || lease.Start > now {
		return
	}
	switch r {
	case Renewed:
		l.credit(lease.Start)
	case RenewalOver:
		l.lose(now, ReasonEnded)
	case RenewalRevoked:
		l.revoke(now)
	}
}

// credit makes the deadline follow an answered call that began at start.
func (l *Lessee) credit(start time.Duration) {
	s := &l.session
	s.credited = max(s.credited, start)
	s.deadline = max(s.deadline, start+l.cfg.TTL-l.margin-l.cfg.EndEarly)
}

// revoke takes the news that the session will not be renewed any more (SEMANTICS A6): its
// holds are recalled, and what is not about them waits for the next session.
func (l *Lessee) revoke(now time.Duration) {
	s := &l.session
	if s.revoked {
		return
	}
	s.revoked = true
	for c, next := l.queue.first, (*call)(nil); c != nil; c = next {
		next = c.next
		if c.phase == queued && c.on == nil && c != l.leave {
			l.unlink(c)
			l.parked.push(c)
		}
	}
	var holds []*call
	// order-free: sorted below
	for _, c := range s.ops {
		if c.phase == held && !c.ending {
			holds = append(holds, c)
		}
	}
	sortCalls(holds)
	for _, c := range holds {
		l.recall(c, nil)
	}
	l.giveUpIfRevoked(now)
}

// recall tells once that an operator wants the hold back.
func (l *Lessee) recall(c *call, body any) {
	if c.phase != held || c.ending || c.recalled {
		return
	}
	c.recalled = true
	l.out = append(l.out, Outcome{Call: c.id, Verdict: Recalled, Body: body})
}

// giveUpIfRevoked ends a revoked session that holds nothing any more, so that what waits
// goes on in the next one.
func (l *Lessee) giveUpIfRevoked(now time.Duration) {
	if l.live() && l.session.revoked && l.session.held == 0 && l.leave == nil {
		l.lose(now, ReasonRevoked)
	}
}

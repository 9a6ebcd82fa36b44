package main

import (
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// What the log says of requests: the first call of an id is one, all others are it again;
// an end that comes first is all that there ever is. Only an id that may be forgotten may
// be something new, which is seen when it is granted.

// call reads a call that was not refused.
func (o *order) call(w *world, c *machine.Call) {
	s := o.sessions[c.Session]
	if c.Op.Do == machine.DoLeave {
		s.left = true
		return
	}
	q := s.requests[c.Request]
	first := q == nil
	if first {
		q = &requested{key: park.ID{Session: c.Session, Seq: park.Seq(len(s.requests) + 1)}}
		s.requests[c.Request] = q
	}
	if c.Op.Do == machine.DoEnd {
		if first {
			w.tally.hit(tallyEndFirst)
		}
		if o.holds[q.key] != nil || first {
			s.end(q)
		}
		o.end(q.key)
		return
	}
	op := c.Op
	if target := s.requests[c.Target]; target != nil {
		op.To = target.key.Seq
	}
	switch {
	case first:
		o.op(q.key, &op)
	case q.ended && q.op == nil:
		w.tally.hit(tallyTooLate)
	case q.ended:
		w.tally.hit(tallyAnsweredAgain)
	case o.waits[q.key] != nil:
		w.tally.hit(tallyJoined)
	}
	q.op = &op
}

// end notes that a request has ended.
func (s *seen) end(q *requested) {
	if !q.ended {
		s.ends++
		q.ended, q.at = true, s.ends
	}
}

// answered takes an outcome of a request and returns its key.
func (o *order) answered(w *world, e *machine.Event) park.ID {
	s := o.sessions[e.Session]
	q := s.requests[e.Request]
	if q == nil {
		w.failf("order: request %q of session %v has an outcome, and nobody made it", e.Request, e.Session)
		return park.ID{}
	}
	switch {
	case e.Code == park.Granted:
		if forgotten := q.ended && s.ends-q.at >= session.KeptRequests*3/4; forgotten && o.waits[q.key] == nil {
			q.ended = false
			o.waits[q.key] = &asked{id: q.key, wait: &q.op.Wait, came: o.entry}
		}
	case e.Code != park.Recalled:
		s.end(q)
	}
	return q.key
}

// keyOf is the key of a request, 0 if it never came.
func (o *order) keyOf(s park.SessionID, name string) park.ID {
	if x := o.sessions[s]; x != nil {
		if q := x.requests[name]; q != nil {
			return q.key
		}
	}
	return park.ID{}
}

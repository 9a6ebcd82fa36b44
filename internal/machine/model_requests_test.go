package machine_test

import (
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// The model's sessions without a stream: every call has a request id, and all that is
// known of it is a list to be looked through.

// remembered is how many ended requests of a session are known.
const remembered = 128

func (m *model) unaryState(s *modelSession, state string) {
	if s.unary {
		m.seen[state]++
	}
}

// name is the request id of a call.
func (s *modelSession) name(seq park.Seq) string {
	for _, r := range s.asked {
		if r.seq == seq {
			return r.id
		}
	}
	return ""
}

func (s *modelSession) request(id string) *modelRequest {
	for _, r := range s.asked {
		if r.id == id {
			return r
		}
	}
	return nil
}

// ask makes a request a call.
func (s *modelSession) ask(id string) park.Seq {
	s.last++
	s.asked = append(s.asked, &modelRequest{id: id, seq: s.last})
	return s.last
}

// conclude notes how a request ended, and forgets the oldest of too many.
func (m *model) conclude(s *modelSession, seq park.Seq, result modelResult) {
	if !s.unary || s.over {
		return
	}
	i := slices.IndexFunc(s.asked, func(r *modelRequest) bool { return r.seq == seq })
	r := s.asked[i]
	if r.ended {
		m.tell("request %q of %v ends twice", r.id, s.id)
	}
	r.ended, r.modelResult = true, result
	s.ended = append(s.ended, r)
	if len(s.ended) > remembered {
		oldest := s.ended[0]
		s.ended = s.ended[1:]
		s.asked = slices.DeleteFunc(s.asked, func(r *modelRequest) bool { return r == oldest })
		s.evicted[oldest.id] = true
		m.seen["request forgotten"]++
	}
}

func (m *model) openUnary(o *machine.Open) {
	if o.TTL < 500*ms {
		m.tell("opened %+v", machine.Opened{Refusal: machine.RefusedInvalid})
		return
	}
	s := &modelSession{
		id: park.SessionID(len(m.sessions) + 1), secret: o.Secret, ttl: o.TTL, stamp: m.clock, who: o.Who,
		unary: true, evicted: map[string]bool{},
	}
	m.sessions = append(m.sessions, s)
	m.tell("opened %+v", machine.Opened{Session: s.id})
}

func (m *model) callCommand(c *machine.Call) {
	s := m.session(c.Session)
	var refusal machine.Refusal
	switch {
	case s == nil || s.over && !s.revoked:
		refusal = machine.RefusedOver
	case s.over:
		refusal = machine.RefusedRevoked
	case !s.unary || s.secret != c.Secret:
		refusal = machine.RefusedNotYours
	case c.Request == "" && c.Op.Do != machine.DoLeave || len(c.Request) > 128:
		refusal = machine.RefusedInvalid
	}
	if refusal != 0 {
		m.tell("called %+v", machine.Called{Refusal: refusal})
		return
	}
	switch r := s.request(c.Request); {
	case c.Op.Do == machine.DoLeave:
		m.seen["unary left"]++
		m.tell("called %+v", machine.Called{Code: park.Done})
		m.end(s, machine.EndLeft)
	case c.Op.Do == machine.DoEnd:
		m.tell("called %+v", machine.Called{Code: park.Done})
		m.endRequest(s, c.Request, r)
	case r != nil:
		m.tell("called %+v", machine.Called{})
		m.retry(s, r)
	default:
		m.tell("called %+v", machine.Called{})
		m.first(s, c)
	}
}

// first makes a call of a request that is not known.
func (m *model) first(s *modelSession, c *machine.Call) {
	op := c.Op
	op.To = 0
	if target := s.request(c.Target); target != nil {
		op.To = target.seq
	}
	if s.evicted[c.Request] {
		m.seen["forgotten request asked anew"]++
	}
	if s.evicted[c.Target] {
		m.seen["target forgotten"]++
	}
	op.Seq = s.ask(c.Request)
	m.do(s, &op)
}

func (m *model) retry(s *modelSession, r *modelRequest) {
	c := m.call(s, r.seq)
	switch {
	case r.ended:
		m.seen["request answered again"]++
		if r.code == park.Over {
			m.seen["request after its end"]++
		}
		if r.data != "" {
			m.seen["data again"]++
		}
		m.tell("%s", r.text(s, r.seq))
	case c.state == held:
		m.seen["request granted again"]++
		m.granted(c, "")
	default:
		m.seen["request joined"]++
	}
}

// endRequest ends a request, or sees to it that it never begins.
func (m *model) endRequest(s *modelSession, id string, r *modelRequest) {
	if r == nil {
		m.seen["end before its request"]++
		m.conclude(s, s.ask(id), modelResult{code: park.Over})
		return
	}
	switch c := m.call(s, r.seq); {
	case c == nil:
		m.seen["end after its request's end"]++
	case c.state == held:
		m.release(c, machine.EndReleased)
	default:
		m.abandon(c, "a cancel")
		m.seen["unary wait cancelled"]++
		m.outcome(s, r.seq, park.Over, 0)
	}
}

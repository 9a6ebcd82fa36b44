package machine_test

import (
	"fmt"
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// The model's sessions with a stream, and how any session ends.

func (m *model) end(s *modelSession, how machine.Ending) {
	failed := how == machine.EndExpired || how == machine.EndReplaced
	for _, c := range m.waitsOf(s) {
		m.abandon(c, "its session's end")
		m.unaryState(s, "unary ended with a parked call")
	}
	m.leaveGroups(s)
	for _, c := range m.calls {
		if c.s != s {
			continue
		}
		switch {
		case c.state == held && failed && c.delay > 0:
			c.free = m.clock + c.delay
			for _, a := range c.arms {
				m.change(c, a, machine.Change{
					Type: machine.ChangeDelayed, N: a.N, Held: m.clock - c.since, Ending: how,
				})
			}
			m.unaryState(s, "unary lock-delay")
		case c.state == held:
			m.release(c, how)
		}
	}
	s.revoked = s.revoked || how == machine.EndRevoked
	s.over, s.forget = true, max(m.clock+int64(60e9), m.lastDelay(s)+1)
	s.delayed = s.forget > m.clock+int64(60e9)
	s.gone = how == machine.EndLeft
	s.asked, s.ended = nil, nil
	m.tell("ended %v revoked %v", s.id, s.revoked)
}

func (m *model) revoke(r *machine.Revoke) {
	s := m.session(r.Session)
	if s == nil || s.over {
		m.tell("revoke %v not found", r.Session)
		return
	}
	m.tell("revoke %v done", r.Session)
	if r.Now {
		m.end(s, machine.EndRevoked)
		return
	}
	s.revoked = true
	m.recall(s)
}

func (m *model) recall(s *modelSession) {
	for seq := park.Seq(1); seq <= s.last; seq++ {
		if c := m.call(s, seq); c != nil && c.state == held {
			m.outcome(s, seq, park.Recalled, 0)
		}
	}
}

func (m *model) refused(a *machine.Attach, r machine.Refusal) {
	m.tell("refused %d/%d: %d", a.Instance, a.Epoch, r)
}

func listed(ranges []machine.Range, seq park.Seq) bool {
	return slices.ContainsFunc(ranges, func(r machine.Range) bool { return r.First <= seq && seq <= r.Last })
}

func (m *model) attach(a *machine.Attach) {
	if a.Session == 0 {
		m.openSession(a)
		return
	}
	s := m.session(a.Session)
	switch {
	case s == nil || s.over && !s.revoked:
		m.refused(a, machine.RefusedOver)
		return
	case s.over:
		m.refused(a, machine.RefusedRevoked)
		return
	case s.secret != a.Secret || s.instance != a.Instance || s.unary:
		m.refused(a, machine.RefusedNotYours)
		return
	case a.Epoch <= s.epoch:
		m.refused(a, machine.RefusedOldEpoch)
		return
	}
	s.epoch = a.Epoch
	for _, c := range m.waitsOf(s) {
		if !listed(a.Wanted, c.seq) {
			m.abandon(c, "an attach")
		}
	}
	for _, c := range m.calls {
		switch {
		case c.s != s || listed(a.Wanted, c.seq):
		case c.state == held:
			m.release(c, machine.EndReleased)
		default:
			c.state = closed
		}
	}
	m.tell("attached %v to %d/%d last %d replaced %d gone %v []", s.id, a.Instance, a.Epoch, s.last, 0, false)
	for seq := park.Seq(1); seq <= s.last; seq++ {
		if listed(a.Wanted, seq) {
			m.again(s, seq)
		}
	}
	if s.revoked {
		m.recall(s)
	}
}

func (m *model) openSession(a *machine.Attach) {
	var left []string
	var last park.Seq
	gone := false
	if a.Replaces != 0 {
		old := m.session(a.Replaces)
		if gone = old == nil; !gone {
			if old.secret != a.ReplacesSecret || old.instance != a.Instance || old.unary {
				m.refused(a, machine.RefusedNotYours)
				return
			}
			if !old.over {
				m.end(old, machine.EndReplaced)
				if m.lastDelay(old) > 0 {
					m.seen["replaced with a lock-delay"]++
				}
			}
			last = old.last
			for seq := park.Seq(1); seq <= last; seq++ {
				if !listed(a.Wanted, seq) {
					continue
				}
				r := modelResult{code: park.Over}
				if c := m.call(old, seq); c != nil && c.state == kept {
					r = c.modelResult
				}
				if r.data != "" {
					m.seen["an element left to the successor"]++
				}
				if r.arm > 0 {
					m.seen["a wait's result left to the successor"]++
				}
				left = append(left, fmt.Sprintf("%d:%d:%d:%d:%q", seq, r.code, r.value, r.arm, r.data))
			}
		}
	}
	s := &modelSession{
		id: park.SessionID(len(m.sessions) + 1), secret: a.Secret, instance: a.Instance,
		epoch: a.Epoch, ttl: a.TTL, stamp: m.clock, who: a.Who,
	}
	m.sessions = append(m.sessions, s)
	m.tell("attached %v to %d/%d last %d replaced %d gone %v %v", s.id, a.Instance, a.Epoch, 0, last, gone, left)
}

func (m *model) again(s *modelSession, seq park.Seq) {
	switch c := m.call(s, seq); {
	case c == nil:
		m.outcome(s, seq, park.Over, 0)
	case c.state == parked:
		m.seen["joined"]++
	case c.state == held:
		m.seen["granted again"]++
		if c.arm > 0 {
			m.seen["granted again, a later arm"]++
		}
		if ch, _ := m.delivery(c); ch != nil {
			m.seen["a delivery again"]++
		}
		m.granted(c, "")
	case c.state == kept:
		m.seen["result again"]++
		if c.data != "" {
			m.seen["an element again"]++
			if c.value != 0 {
				m.seen["a map's value again"]++
			}
		}
		if c.arm > 0 {
			m.seen["a later arm's result again"]++
		}
		m.tellResult(s, seq, c.modelResult)
	}
}

func (m *model) frame(f *machine.Frame) {
	cut := func(r machine.Refusal) { m.tell("cut %v epoch %d: %d", f.Session, f.Epoch, r) }
	s := m.session(f.Session)
	switch {
	case s == nil || s.over && !s.revoked:
		cut(machine.RefusedOver)
		return
	case s.over:
		cut(machine.RefusedRevoked)
		return
	case s.epoch != f.Epoch || s.unary:
		cut(machine.RefusedOldEpoch)
		return
	}
	for _, c := range m.calls {
		if c.s == s && c.state == kept && listed(f.Acked, c.seq) {
			c.state = closed
		}
	}
	for i := range f.Ops {
		op := &f.Ops[i]
		switch {
		case s.over:
			cut(machine.RefusedOver)
			return
		case op.Seq > s.last+1:
			cut(machine.RefusedGap)
			return
		case op.Seq <= s.last:
			m.again(s, op.Seq)
		default:
			s.last = op.Seq
			m.do(s, op)
			m.settle()
		}
	}
}

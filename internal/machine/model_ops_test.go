package machine_test

import (
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What the model does in ops other than waits and their ends.

func (m *model) releasePart(s *modelSession, op *machine.Op) {
	c := m.call(s, op.To)
	switch {
	case c == nil || c.state != held:
		m.outcome(s, op.Seq, park.NotFound, 0)
		return
	case len(c.arms) != 1 || c.arms[0].On.Kind != park.KindSemaphore || op.N < 1 || op.N > c.arms[0].N:
		m.outcome(s, op.Seq, park.Invalid, c.arms[0].N)
		return
	}
	a := c.arms[0]
	m.give(c, a, op.N, machine.EndReleased)
	a.N -= op.N
	if c.arms = []park.Arm{a}; a.N == 0 {
		c.state = closed
		m.conclude(s, c.seq, modelResult{code: park.Over})
	}
	m.keep(s, op.Seq, park.Done, 0)
}

func (m *model) keep(s *modelSession, seq park.Seq, code park.Code, value int64) {
	m.keepResult(s, seq, modelResult{code: code, value: value})
}

func (m *model) keepResult(s *modelSession, seq park.Seq, r modelResult) {
	if !s.unary {
		m.calls = append(m.calls, &modelCall{s: s, seq: seq, state: kept, modelResult: r})
	}
	m.tellResult(s, seq, r)
}

func (m *model) resize(s *modelSession, op *machine.Op) {
	l := m.limits[op.On]
	if l == nil {
		l = &modelLimit{stored: op.N}
		m.limits[op.On] = l
	}
	lower := op.N < l.limit
	l.limit = op.N
	for _, c := range m.queue(op.On) {
		if slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On == op.On && a.N > op.N }) {
			m.abandon(c, "a resize")
			m.seen["refused by a resize"]++
			m.outcome(c.s, c.seq, park.Invalid, op.N)
		}
	}
	if q := m.queue(op.On); lower {
		slices.SortFunc(q, func(a, b *modelCall) int { return b.ticket - a.ticket })
		for _, c := range q {
			if m.deadlocked(c) {
				m.seen["deadlock by a resize"]++
			}
		}
	}
	m.change(&modelCall{s: s, seq: op.Seq}, park.Arm{On: op.On}, machine.Change{
		Type: machine.ChangeResized, N: op.N,
	})
	m.keep(s, op.Seq, park.Done, op.N)
	told := len(m.events)
	if m.settle(); len(m.events) > told {
		m.seen["granted by a resize"]++
	}
}

// leads finds the leadership that an op is about, or refuses it.
func (m *model) leads(s *modelSession, op *machine.Op) *modelCall {
	c := m.call(s, op.To)
	switch {
	case c == nil || c.state != held:
		m.outcome(s, op.Seq, park.NotFound, 0)
		return nil
	case len(c.arms) > 1 || c.arms[0].On.Kind != park.KindElection:
		if len(c.arms) > 1 {
			m.seen["a leadership in a LockAll refused"]++
		}
		m.outcome(s, op.Seq, park.Invalid, 0)
		return nil
	}
	return c
}

func (m *model) proclaim(s *modelSession, op *machine.Op) {
	if len(op.Value) > 4096 {
		m.outcome(s, op.Seq, park.Invalid, 4096)
		return
	}
	c := m.leads(s, op)
	if c == nil {
		return
	}
	a := c.arms[0]
	a.Value = op.Value
	c.arms = []park.Arm{a}
	m.seen["proclaimed"]++
	m.unaryState(s, "unary proclaimed")
	m.change(c, a, machine.Change{Type: machine.ChangeProclaimed, N: 1})
	m.keep(s, op.Seq, park.Done, 0)
}

// transfer gives a leadership to the heir's first candidate that needs nothing else.
func (m *model) transfer(s *modelSession, op *machine.Op) {
	c := m.leads(s, op)
	if c == nil {
		return
	}
	on := c.arms[0].On
	var candidates []*modelCall
	for _, w := range m.queue(on) {
		switch {
		case w.s.id != op.Heir:
		case w.commit == park.Every && len(w.arms) > 1:
			m.seen["transfer past a LockAll"]++
		default:
			candidates = append(candidates, w)
		}
	}
	if len(candidates) == 0 {
		m.seen["transfer to nobody"]++
		m.outcome(s, op.Seq, park.NotFound, 0)
		return
	}
	heir := candidates[0]
	m.transferred(s, heir, len(candidates), m.queue(on)[0] != heir)
	m.release(c, machine.EndTransferred)
	since := heir.since
	if heir.commit != park.Every {
		m.several(heir, slices.IndexFunc(heir.arms, func(a park.Arm) bool { return a.On == on }))
	}
	m.take(heir, since)
	m.keep(s, op.Seq, park.Done, 0)
}

// transferred counts what kind of transfer it was.
func (m *model) transferred(s *modelSession, heir *modelCall, candidates int, past bool) {
	m.seen["transferred"]++
	for state, is := range map[string]bool{
		"transferred to one of several candidacies": candidates > 1,
		"transferred within a session":              heir.s == s,
		"transferred to a revoked session":          heir.s.revoked,
		"transferred to a select":                   len(heir.arms) > 1,
		"transferred past others":                   past,
		"transferred from unary to stream":          s.unary && !heir.s.unary,
		"transferred from stream to unary":          !s.unary && heir.s.unary,
	} {
		if is {
			m.seen[state]++
		}
	}
}

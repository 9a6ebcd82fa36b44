package machine_test

import (
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// The model's conds: a wait with an arm of one is never ready, until a signal makes it one
// with an arm of the lock.

func isCond(a park.Arm) bool { return a.On.Kind == park.KindCond }

// admitWait is admit of DoWait, which no arm of a cond may be in.
func (m *model) admitWait(w *machine.Wait) (park.Code, int64) {
	if slices.ContainsFunc(w.Arms, isCond) {
		m.seen["a cond in a select refused"]++
		return park.Invalid, 0
	}
	return m.admit(w)
}

// admitOther is admit of an arm of a cond, which is its wait's only one, or of a map.
func admitOther(w *machine.Wait, a park.Arm) (park.Code, int64) {
	switch {
	case a.On.Kind == park.KindMap || w.Commit == park.Every:
		return park.Invalid, 0
	case a.On.Name == "":
		return park.Invalid, 256
	case a.N != 1 || a.Limit != 0 || a.Shared:
		return park.Invalid, 1
	case a.Value == "":
		return park.Invalid, 256
	}
	return 0, 0
}

// await gives a lock up and waits for a cond of it.
func (m *model) await(s *modelSession, op *machine.Op) {
	h := m.call(s, op.To)
	if h == nil || h.state != held {
		m.seen["await without a hold"]++
		m.outcome(s, op.Seq, park.NotFound, 0)
		return
	}
	w := &op.Wait
	if w.Try || len(w.Arms) != 1 || !isCond(w.Arms[0]) || len(h.arms) != 1 || h.arms[0].Shared ||
		h.arms[0].On != (park.Object{Kind: park.KindLock, Name: w.Arms[0].Value}) {
		m.seen["await refused"]++
		m.outcome(s, op.Seq, park.Invalid, 0)
		return
	}
	if code, value := m.admit(w); code != 0 {
		m.seen["await not admitted"]++
		m.outcome(s, op.Seq, code, value)
		return
	}
	if h.delay > 0 {
		m.seen["await with a lock that had a lock-delay"]++
	}
	m.release(h, machine.EndReleased)
	m.ticket++
	c := &modelCall{
		s: s, seq: op.Seq, state: parked, arms: w.Arms, commit: w.Commit, prio: w.Prio, ticket: m.ticket,
		since: m.clock, delay: w.Delay, note: w.Note, trace: w.Trace, names: m.names(w.Lineage),
	}
	if w.Limit > 0 {
		c.until = m.clock + w.Limit
	}
	m.calls = append(m.calls, c)
	m.seen["awaited"]++
	m.unaryState(s, "unary await")
}

// signal is DoSignal: a Signal of one, else a Broadcast.
func (m *model) signal(s *modelSession, op *machine.Op) {
	if op.On.Kind != park.KindCond || op.On.Name == "" || op.N < 1 {
		m.seen["signal refused"]++
		m.outcome(s, op.Seq, park.Invalid, 0)
		return
	}
	n := m.wake(op.On, op.N)
	switch {
	case n == 0:
		m.seen["signalled nobody"]++
	case op.N == 1:
		m.seen["signalled"]++
		m.unaryState(s, "unary signalled")
	case n > 1:
		m.seen["broadcast to several"]++
	}
	if len(m.queue(op.On)) > 0 && n > 0 {
		m.seen["signalled, and others wait on"]++
	}
	m.keep(s, op.Seq, park.Done, n)
}

// wake lets those who wait first wait for their locks.
func (m *model) wake(on park.Object, n int64) int64 {
	woken := int64(0)
	for _, c := range m.queue(on) {
		if woken == n {
			break
		}
		m.ticket++
		c.arms = []park.Arm{{On: park.Object{Kind: park.KindLock, Name: c.arms[0].Value}, N: 1}}
		c.ticket, c.signal, c.woken = m.ticket, "", true
		if n == 1 {
			c.signal = on.Name
		}
		if c.prio != 0 {
			m.seen["woken with a priority"]++
		}
		if m.deadlocked(c) {
			m.seen["deadlock by a signal"]++
			continue
		}
		woken++
	}
	return woken
}

// abandon ends a wait. If it took a Signal, that is somebody else's now.
func (m *model) abandon(c *modelCall, why string) {
	c.state = closed
	switch {
	case c.woken && c.signal == "":
		m.seen["a broadcast lost by "+why]++
	case isCond(c.arms[0]):
		m.seen["not signalled, ended by "+why]++
	case c.signal != "":
		on := park.Object{Kind: park.KindCond, Name: c.signal}
		q := m.queue(on)
		if len(q) > 0 && q[0].s == c.s {
			m.seen["a Signal passed on within its session"]++
		}
		if m.wake(on, 1) == 0 {
			m.seen["a Signal lost, nobody waits"]++
			break
		}
		m.seen["a Signal passed on after "+why]++
		for _, w := range q {
			w.passed = w.passed || w.signal != ""
		}
		if c.passed {
			m.seen["a Signal passed on twice"]++
		}
	}
}

// seenWoken counts who gets the lock after a signal.
func (m *model) seenWoken(c *modelCall) {
	switch {
	case c.signal != "":
		m.seen["granted after a signal"]++
	case c.woken:
		m.seen["granted after a broadcast"]++
	}
}

// waitsOf is what a session waits for, by seq.
func (m *model) waitsOf(s *modelSession) (waits []*modelCall) {
	for _, c := range m.calls {
		if c.s == s && c.state == parked {
			waits = append(waits, c)
		}
	}
	slices.SortFunc(waits, func(a, b *modelCall) int { return int(a.seq) - int(b.seq) })
	return waits
}

package machine_test

import (
	"cmp"
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// The model's waits: what may be asked for, and who gets it.

// queue is who waits on an object, in order.
func (m *model) queue(on park.Object) []*modelCall {
	var q []*modelCall
	for _, c := range m.calls {
		if c.state == parked && slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On == on }) {
			q = append(q, c)
		}
	}
	slices.SortFunc(q, before)
	return q
}

func before(a, b *modelCall) int {
	return cmp.Or(cmp.Compare(b.prio, a.prio), cmp.Compare(a.ticket, b.ticket))
}

func (m *model) admit(w *machine.Wait) (park.Code, int64) {
	if len(w.Trace) > 64 {
		return park.Invalid, 64
	}
	if w.Commit == park.Every {
		for i := 1; i < len(w.Arms); i++ {
			if w.Arms[i-1].On.Compare(w.Arms[i].On) >= 0 {
				return park.Invalid, 0
			}
		}
	}
	if code, value := m.admitLineage(w.Lineage); code != 0 {
		return code, value
	}
	for _, a := range w.Arms {
		if code, value := m.admitLatch(w.Commit, a); code != 0 {
			return code, value
		}
		if isChan(a.On.Kind) {
			if code, value := m.admitChan(w.Commit, a); code != 0 {
				return code, value
			}
			continue
		}
		if a.On.Kind == park.KindCond || a.On.Kind == park.KindMap {
			return admitOther(w, a)
		}
		switch {
		case isLatch(a.On.Kind):
		case a.On.Name == "":
			return park.Invalid, 256
		case a.On.Kind != park.KindElection && a.Value != "":
			return park.Invalid, 0
		case a.On.Kind == park.KindElection && (a.Shared || a.N != 1 || a.Limit != 0):
			return park.Invalid, 1
		case len(a.Value) > 4096:
			return park.Invalid, 4096
		}
		if a.On.Kind != park.KindSemaphore {
			continue
		}
		l := m.limits[a.On]
		switch {
		case l == nil && a.Limit == 0:
			return park.NotFound, 0
		case l == nil && a.N > a.Limit:
			return park.Invalid, a.Limit
		case l == nil:
			l = &modelLimit{a.Limit, a.Limit}
			m.limits[a.On] = l
		case a.Limit != 0 && a.Limit != l.stored:
			return park.Mismatch, l.stored
		}
		if a.N > l.limit {
			return park.Invalid, l.limit
		}
	}
	return m.misfits(w.Arms)
}

func (m *model) wait(s *modelSession, op *machine.Op) {
	if code, value := m.admitWait(&op.Wait); code != 0 {
		m.outcome(s, op.Seq, code, value)
		return
	}
	m.ticket++
	c := &modelCall{
		s: s, seq: op.Seq, state: closed, arms: op.Wait.Arms, commit: op.Wait.Commit,
		prio: op.Wait.Prio, ticket: m.ticket, since: m.clock, delay: op.Wait.Delay, note: op.Wait.Note,
		trace: op.Wait.Trace,
	}
	m.calls = append(m.calls, c)
	if m.tryGrant(c) {
		return
	}
	if op.Wait.Try {
		arm := slices.IndexFunc(c.arms, func(a park.Arm) bool { return !m.ready(c, a) })
		m.described(s, op.Seq, park.Busy, arm, m.description(c.arms[arm].On, 8, 0))
		return
	}
	c.state, c.names = parked, m.names(op.Wait.Lineage)
	if m.deadlocked(c) {
		return
	}
	if op.Wait.Limit > 0 {
		c.until = m.clock + op.Wait.Limit
	}
}

// ready says whether an arm could be had now: nobody who waits for the object comes
// before, and what all others hold leaves room.
func (m *model) ready(c *modelCall, a park.Arm) bool {
	if isLatch(a.On.Kind) {
		return m.latchReady(c, a)
	}
	if isChan(a.On.Kind) {
		return m.chanReady(c, a)
	}
	if a.On.Kind == park.KindCond {
		return false
	}
	sum := int64(0)
	for _, o := range m.calls {
		for _, b := range o.arms {
			if b.On != a.On || o == c {
				continue
			}
			switch {
			case o.state == parked && before(o, c) < 0:
				return false
			case o.state == held && a.On.Kind == park.KindLock && !(a.Shared && b.Shared):
				return false
			case o.state == held && a.On.Kind == park.KindElection:
				return false
			case o.state == held:
				sum += b.N
			}
		}
	}
	return a.On.Kind != park.KindSemaphore || sum+a.N <= m.limits[a.On].limit
}

// several leaves a select the arm that it got.
func (m *model) several(c *modelCall, arm int) {
	if len(c.arms) > 1 && c.arms[arm].On.Kind == park.KindElection {
		m.seen["led with a select"]++
	}
	c.arms, c.arm = c.arms[arm:arm+1], arm
}

func (m *model) tryGrant(c *modelCall) bool {
	var ready []int
	for i, a := range c.arms {
		if m.ready(c, a) {
			ready = append(ready, i)
		}
	}
	arm := 0
	switch {
	case len(ready) == 0, c.commit == park.Every && len(ready) < len(c.arms):
		return false
	case c.commit == park.Every:
	case c.commit == park.First || len(ready) == 1:
		arm = ready[0]
	default:
		arm = m.choice(park.ID{Session: c.s.id, Seq: c.seq})
		if !slices.Contains(ready, arm) {
			m.tell("the machine took arm %d of %v, ready are %v", arm, c.arms, ready)
			arm = ready[0]
		}
	}
	if m.passed(c, arm) || m.moved(c, arm) {
		return true
	}
	if c.commit != park.Every {
		m.several(c, arm)
	} else if len(c.arms) > 1 && slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On.Kind == park.KindElection }) {
		m.seen["led with a LockAll"]++
	}
	m.take(c, c.since)
	return true
}

// take gives a call the arms that are left to it.
func (m *model) take(c *modelCall, waitedSince int64) {
	alone := func(a park.Arm) bool {
		return a.On.Kind == park.KindElection || a.On.Kind == park.KindOnce || a.Ack || a.On.Kind == park.KindLock && !a.Shared
	}
	waited := c.waitedFor(m.seen)
	m.seenWoken(c)
	c.state, c.until, c.since, c.freed = held, 0, m.clock, nil
	if slices.ContainsFunc(c.arms, alone) {
		m.token++
		c.token = m.token
	}
	for _, a := range c.arms {
		m.change(c, a, machine.Change{Type: machine.ChangeGranted, N: a.N, Waited: m.clock - waitedSince})
		if a.On.Kind == park.KindElection {
			m.seen["led"]++
		}
	}
	m.granted(c, waited)
	if c.s.revoked {
		m.seen["recalled when granted"]++
		m.unaryState(c.s, "unary recalled")
		m.outcome(c.s, c.seq, park.Recalled, 0)
	}
}

// waitedFor is the trace of the hold that was the last to end of those that a call waited
// for in this entry; of each object only the last one counts.
func (c *modelCall) waitedFor(seen map[string]int) string {
	told := map[park.Object]bool{}
	for _, f := range slices.Backward(c.freed) {
		if told[f.on] || !slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On == f.on }) {
			continue
		}
		if f.trace != "" {
			seen["waited"]++
			return f.trace
		}
		told[f.on] = true
		seen["waited for a hold without a trace"]++
	}
	return ""
}

// settle grants to the first of all waiters that can proceed, until none can.
func (m *model) settle() {
	for {
		var waiting []*modelCall
		for _, c := range m.calls {
			if c.state == parked {
				waiting = append(waiting, c)
			}
		}
		slices.SortFunc(waiting, before)
		if !slices.ContainsFunc(waiting, m.tryGrant) {
			break
		}
	}
	m.tidy()
	m.calls = slices.DeleteFunc(m.calls, func(c *modelCall) bool { return c.state == closed })
}

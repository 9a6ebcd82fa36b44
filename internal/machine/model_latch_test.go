package machine_test

import (
	"slices"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// The model's wait groups and onces: a list of every single one that was added, and a list of
// the onces that are done.

type modelLatches struct {
	added []modelAdded
	cut   []park.Object
	adds  int // so many Adds so far
	dones []modelDone
	tried map[park.Object]bool // onces that were run in vain
}

// A modelAdded is one that a wait group counts. Its session has some since that Add.
type modelAdded struct {
	on    park.Object
	s     *modelSession
	since int
}

type modelDone struct {
	on   park.Object
	how  int64
	data string
}

func isLatch(k park.Kind) bool { return k == park.KindWaitGroup || k == park.KindOnce }

func (l *modelLatches) count(on park.Object) (n int64) {
	for _, a := range l.added {
		if a.on == on {
			n++
		}
	}
	return n
}

func (l *modelLatches) isCut(on park.Object) bool { return slices.Contains(l.cut, on) }

func (l *modelLatches) heal(on park.Object) {
	l.cut = slices.DeleteFunc(l.cut, func(o park.Object) bool { return o == on })
}

func (l *modelLatches) result(on park.Object) *modelDone {
	for i := range l.dones {
		if l.dones[i].on == on {
			return &l.dones[i]
		}
	}
	return nil
}

func (m *model) runner(on park.Object) *modelCall {
	for _, c := range m.calls {
		if c.state == held && slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On == on }) {
			return c
		}
	}
	return nil
}

func (m *model) admitLatch(commit park.Commit, a park.Arm) (park.Code, int64) {
	plain := park.Arm{On: a.On, N: 1}
	reads := plain
	reads.Side = park.Recv
	switch {
	case !isLatch(a.On.Kind):
		return 0, 0
	case commit == park.Every:
		m.seen["a latch in a LockAll refused"]++
		return park.Invalid, 0
	case a.On.Name == "":
		return park.Invalid, 256
	case a == plain, a == reads && a.On.Kind == park.KindOnce:
		return 0, 0
	}
	m.seen["a latch's arm refused"]++
	return park.Invalid, 1
}

// latchReady says whether a wait for a group or a once could proceed now. Who waits ahead of it
// waits for the same, but who only reads a once is in nobody's way.
func (m *model) latchReady(c *modelCall, a park.Arm) bool {
	if a.On.Kind == park.KindWaitGroup {
		return m.count(a.On) == 0
	}
	if m.result(a.On) != nil {
		return true
	}
	first := !slices.ContainsFunc(m.calls, func(o *modelCall) bool {
		return o != c && o.state == parked && before(o, c) < 0 && slices.ContainsFunc(o.arms, func(b park.Arm) bool {
			return b.On == a.On && b.Side == park.Alone
		})
	})
	return a.Side == park.Alone && m.runner(a.On) == nil && first
}

// passed is a wait that leaves no hold: of a group, or of a once that is done.
func (m *model) passed(c *modelCall, arm int) bool {
	a, waited, several := c.arms[arm], c.state == parked, len(c.arms) > 1
	switch done := m.result(a.On); {
	case a.On.Kind == park.KindWaitGroup && m.isCut(a.On):
		m.seeWait("cut short", waited, several)
		c.state = closed
		m.tellResult(c.s, c.seq, modelResult{code: park.CutShort, arm: arm})
	case a.On.Kind == park.KindWaitGroup:
		m.seeWait("at zero", waited, several)
		c.state = closed
		m.keepResult(c.s, c.seq, modelResult{code: park.Done, arm: arm})
	case a.On.Kind == park.KindOnce && done != nil:
		m.seeWait("read", waited, several)
		if waited && a.Side == park.Alone {
			m.seen["read, who would have run"]++
		}
		c.state = closed
		m.tellResult(c.s, c.seq, modelResult{code: park.Done, value: done.how, arm: arm, data: done.data})
	default:
		if a.On.Kind == park.KindOnce {
			m.seeWait("ran", waited, several)
			if m.tried[a.On] {
				m.seen["ran after another ran in vain"]++
			}
		}
		return false
	}
	return true
}

func (m *model) seeWait(state string, waited, several bool) {
	m.seen[state]++
	if waited {
		m.seen[state+", waited"]++
	}
	if several {
		m.seen[state+", in a select"]++
	}
}

func (m *model) add(s *modelSession, op *machine.Op) {
	const most = 1<<31 - 1
	count, n := m.count(op.On), op.N
	switch {
	case op.On.Name == "":
		m.outcome(s, op.Seq, park.Invalid, 256)
		return
	case op.On.Kind != park.KindWaitGroup:
		m.outcome(s, op.Seq, park.Invalid, 0)
		return
	case n > most-count:
		m.outcome(s, op.Seq, park.Invalid, most)
		return
	case n < -count && !m.isCut(op.On):
		m.seen["below zero"]++
		m.outcome(s, op.Seq, park.Invalid, count)
		return
	case n < -count:
		m.seen["below zero of a cut group"]++
	}
	if n > 0 {
		m.increase(s, op.On, n)
	}
	for ; n < 0 && m.count(op.On) > 0; n++ {
		m.settleOne(s, op.On)
	}
	m.unaryState(s, "unary added")
	m.keep(s, op.Seq, park.Done, m.count(op.On))
}

func (m *model) increase(s *modelSession, on park.Object, n int64) {
	if m.count(on) == 0 && m.isCut(on) {
		m.seen["a new round of a cut group"]++
		m.heal(on)
	}
	m.adds++
	since := m.adds
	for _, a := range m.added {
		if a.on == on && a.s == s {
			since = a.since
		}
	}
	for range n {
		m.added = append(m.added, modelAdded{on, s, since})
	}
}

// settleOne takes one of a session's own away, or else of whoever has had some for longest.
func (m *model) settleOne(s *modelSession, on park.Object) {
	oldest := -1
	for i, a := range m.added {
		switch {
		case a.on != on:
		case a.s == s:
			m.seen["settled its own"]++
			m.added = slices.Delete(m.added, i, i+1)
			return
		case oldest < 0 || a.since < m.added[oldest].since:
			if oldest >= 0 {
				m.seen["settled one who had added to it before"]++
			}
			oldest = i
		}
	}
	m.seen["settled another's"]++
	m.added = slices.Delete(m.added, oldest, oldest+1)
}

// leaveGroups is what the end of a session does to wait groups.
func (m *model) leaveGroups(s *modelSession) {
	var groups []string
	for _, a := range m.added {
		if a.s == s {
			groups = append(groups, a.on.Name)
		}
	}
	slices.Sort(groups)
	for _, name := range slices.Compact(groups) {
		on := park.Object{Kind: park.KindWaitGroup, Name: name}
		m.added = slices.DeleteFunc(m.added, func(a modelAdded) bool { return a.s == s && a.on == on })
		m.heal(on)
		m.cut = append(m.cut, on)
		if m.count(on) > 0 {
			m.seen["cut, and others are left"]++
		}
		m.unaryState(s, "unary cut")
		m.change(&modelCall{s: s}, park.Arm{On: on}, machine.Change{Type: machine.ChangeCut})
	}
}

func (m *model) complete(s *modelSession, op *machine.Op) {
	c := m.call(s, op.To)
	switch {
	case c == nil || c.state != held:
		m.seen["completed by who does not run"]++
		m.outcome(s, op.Seq, park.NotFound, 0)
		return
	case c.arms[0].On.Kind != park.KindOnce:
		m.seen["completed what is no once"]++
		m.outcome(s, op.Seq, park.Invalid, 0)
		return
	case op.N != 1 && op.N != 2:
		m.outcome(s, op.Seq, park.Invalid, 2)
		return
	case len(op.Value) > 65536:
		m.seen["a result too long"]++
		m.outcome(s, op.Seq, park.Invalid, 65536)
		return
	}
	m.seen["completed"]++
	m.unaryState(s, "unary completed")
	if c.arm > 0 {
		m.seen["completed, run by a select"]++
	}
	m.dones = append(m.dones, modelDone{c.arms[0].On, op.N, op.Value})
	m.release(c, machine.EndCompleted)
	m.keep(s, op.Seq, park.Done, 0)
}

// ranInVain remembers the onces that a hold is of when it ends without a result.
func (m *model) ranInVain(c *modelCall, why machine.Ending) {
	for _, a := range c.arms {
		if a.On.Kind != park.KindOnce || why == machine.EndCompleted {
			continue
		}
		if m.tried == nil {
			m.tried = map[park.Object]bool{}
		}
		m.tried[a.On] = true
		if why == machine.EndDelayOver {
			m.seen["a once in a lock-delay"]++
		}
	}
}

func (m *model) deleteLatch(s *modelSession, op *machine.Op) {
	waiting := int64(0)
	for _, c := range m.queue(op.On) {
		for _, a := range c.arms {
			if a.On == op.On {
				waiting++
			}
		}
	}
	count, run := m.count(op.On), m.runner(op.On) != nil
	done := func(d modelDone) bool { return d.on == op.On }
	switch {
	case waiting > 0:
		m.seen["deletion of what is waited for"]++
		m.outcome(s, op.Seq, park.Busy, waiting)
	case count > 0:
		m.seen["deletion of what counts"]++
		m.outcome(s, op.Seq, park.Busy, count)
	case run:
		m.seen["deletion of what is run"]++
		m.outcome(s, op.Seq, park.Busy, 1)
	case m.isCut(op.On) || slices.ContainsFunc(m.dones, done):
		m.seen["deleted "+strings.Repeat("once", int(op.On.Kind-park.KindWaitGroup))]++
		m.heal(op.On)
		m.dones = slices.DeleteFunc(m.dones, done)
		m.change(&modelCall{s: s, seq: op.Seq}, park.Arm{On: op.On}, machine.Change{Type: machine.ChangeRemoved})
		m.keep(s, op.Seq, park.Done, 0)
	default:
		m.outcome(s, op.Seq, park.NotFound, 0)
	}
}

// latches is every group that counts or is cut and every once that is run or done.
func (m *model) latches() (all []park.Object) {
	for _, a := range m.added {
		all = append(all, a.on)
	}
	for _, d := range m.dones {
		all = append(all, d.on)
	}
	for _, c := range m.calls {
		if c.state == held && isLatch(c.arms[0].On.Kind) {
			all = append(all, c.arms[0].On)
		}
	}
	return append(all, m.cut...)
}

func (m *model) describeLatch(d *machine.Description) {
	if !slices.Contains(m.latches(), d.On) {
		return
	}
	d.Stored, d.Held = true, m.count(d.On)
	if m.isCut(d.On) {
		d.State = park.GroupCut
	}
	if done := m.result(d.On); done != nil {
		d.State, d.Bytes = [...]park.State{1: park.OnceDone, park.OncePanicked}[done.how], int64(len(done.data))
	}
}

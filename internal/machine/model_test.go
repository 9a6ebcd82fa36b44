package machine_test

import (
	"cmp"
	"fmt"
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A model is a second machine, deliberately dumb: slices, and a scan over everything for
// every question. It shares no code with the machine and knows no queue and no head.
type model struct {
	index    uint64
	clock    int64
	token    park.Token
	ticket   int
	revision uint64
	sessions []*modelSession
	calls    []*modelCall
	changes  []machine.Change // of this entry
	limits   map[park.Object]*modelLimit
	maps     []*modelMap
	events   []string
	seen     map[string]int // interesting states, for coverage
	modelLatches
	chans []*modelChan

	// choice is the arm that the machine took for a call that could take several.
	choice func(park.ID) int
}

type modelSession struct {
	id              park.SessionID
	secret          machine.Secret
	who             string
	instance, epoch uint64
	ttl, stamp      int64
	last            park.Seq
	revoked, over   bool
	forget          int64
	delayed, gone   bool

	// Of a session without a stream.
	unary   bool
	asked   []*modelRequest // in the order in which they were asked for the first time
	ended   []*modelRequest // those that ended, in that order
	evicted map[string]bool
}

// A modelRequest is what a request id stands for.
type modelRequest struct {
	id    string
	seq   park.Seq
	ended bool
	modelResult
}

// A modelResult is what a call came to that holds nothing.
type modelResult struct {
	code  park.Code
	value int64
	arm   int
	data  string
}

type modelLimit struct{ stored, limit int64 }

type callState int

const (
	parked callState = iota
	held
	kept
	closed // over
)

type modelCall struct {
	s      *modelSession
	seq    park.Seq
	state  callState
	arms   []park.Arm
	commit park.Commit
	prio   int32
	ticket int
	until  int64
	since  int64
	delay  int64
	free   int64
	note   string
	trace  string
	token  park.Token
	names  []park.ID // holds that it promises to keep
	modelResult
	signal string // the cond whose Signal it took
	woken  bool   // by a Signal or a Broadcast
	passed bool   // what it took was somebody else's

	freed []modelFreed // while it waited, in this entry
}

// A modelFreed is the end of somebody's hold of something.
type modelFreed struct {
	on    park.Object
	trace string
}

func newModel(seen map[string]int) *model {
	return &model{limits: map[park.Object]*modelLimit{}, seen: seen}
}

func (m *model) session(id park.SessionID) *modelSession {
	for _, s := range m.sessions {
		if s.id == id && !s.gone {
			return s
		}
	}
	return nil
}

func (m *model) call(s *modelSession, seq park.Seq) *modelCall {
	for _, c := range m.calls {
		if c.s == s && c.seq == seq && c.state != closed {
			return c
		}
	}
	return nil
}

func (m *model) tell(format string, args ...any) {
	m.events = append(m.events, fmt.Sprintf(format, args...))
}

// outcome tells what became of a call; unless its hold is recalled it has ended with it.
func (m *model) outcome(s *modelSession, seq park.Seq, code park.Code, value int64) {
	m.tellResult(s, seq, modelResult{code: code, value: value})
}

func (m *model) tellResult(s *modelSession, seq park.Seq, r modelResult) {
	m.tell("%s", r.text(s, seq))
	if r.code != park.Recalled {
		m.conclude(s, seq, r)
	}
}

func (r *modelResult) text(s *modelSession, seq park.Seq) string {
	return fmt.Sprintf("outcome %v/%d %q code %d value %d arm %d data %q", s.id, seq, s.name(seq), r.code, r.value, r.arm, r.data)
}

func (m *model) granted(c *modelCall, waited string) {
	m.tell("granted %v/%d %q token %d arm %d waited %q%s", c.s.id, c.seq, c.s.name(c.seq), c.token, c.arm, waited, m.deliveryText(c))
}

// change numbers a change about an arm of a call's.
func (m *model) change(c *modelCall, a park.Arm, x machine.Change) {
	m.revision++
	x.Revision, x.On, x.ID, x.Who = m.revision, a.On, park.ID{Session: c.s.id, Seq: c.seq}, c.s.who
	x.Note, x.Token, x.Shared, x.Value, x.Trace = c.note, c.token, a.Shared, a.Value, c.trace
	x.Clock = park.Clock(m.clock)
	m.changes = append(m.changes, x)
	m.seen[fmt.Sprintf("change %d", x.Type)]++
	m.seen[fmt.Sprintf("ending %d", x.Ending)]++
}

// give takes n of an arm from a call that holds it, all if n is 0.
func (m *model) give(c *modelCall, a park.Arm, n int64, why machine.Ending) {
	if n == 0 {
		n = a.N
	}
	m.change(c, a, machine.Change{Type: machine.ChangeEnded, N: n, Held: m.clock - c.since, Ending: why})
	for _, w := range m.calls {
		if w.state == parked && slices.ContainsFunc(w.arms, func(b park.Arm) bool { return b.On == a.On }) {
			w.freed = append(w.freed, modelFreed{a.On, c.trace})
		}
	}
}

// release takes all that a call holds.
func (m *model) release(c *modelCall, why machine.Ending) {
	for _, a := range c.arms {
		m.give(c, a, 0, why)
	}
	c.state = closed
	m.ranInVain(c, why)
	m.undelivered(c, why)
	m.conclude(c.s, c.seq, modelResult{code: park.Over})
}

// apply mirrors Machine.Apply; the results of Renew and Revoke are told like events.
func (m *model) apply(index uint64, increment int64, commands []machine.Command) {
	m.index, m.changes = index, nil
	for _, c := range m.calls {
		c.freed = nil
	}
	before := m.clock
	m.clock += increment
	for _, c := range commands {
		if r, ok := c.(*machine.Renew); ok {
			for _, id := range r.Sessions {
				m.renew(id, before)
			}
		}
	}
	m.due()
	for _, c := range commands {
		switch c := c.(type) {
		case *machine.Bootstrap:
			m.token = max(m.token, c.Floor)
		case *machine.Attach:
			m.attach(c)
		case *machine.Frame:
			m.frame(c)
		case *machine.Revoke:
			m.revoke(c)
		case *machine.Sessions:
			m.listSessions()
		case *machine.Open:
			m.openUnary(c)
		case *machine.Call:
			m.callCommand(c)
		case *machine.Describe:
			m.describeObject(c.On)
		case *machine.List:
			m.list(c)
		case *machine.Read:
			m.read(c)
		}
		m.settle()
	}
	for c := range m.stuck() {
		m.tell("%v/%d is stuck and parked", c.s.id, c.seq)
	}
}

func (m *model) renew(id park.SessionID, before int64) {
	s := m.session(id)
	switch {
	case s == nil || s.over || s.stamp+s.ttl <= before:
		m.tell("renew %v over", id)
	case s.revoked:
		m.tell("renew %v revoked", id)
	default:
		m.tell("renew %v ok", id)
		s.stamp = m.clock
	}
}

// due sorts everything there is by when it falls due.
func (m *model) due() {
	type item struct {
		at  int64
		id  park.ID
		end func()
	}
	var items []item
	for _, s := range m.sessions {
		switch {
		case s.gone:
		case !s.over && s.stamp+s.ttl <= m.clock:
			items = append(items, item{s.stamp + s.ttl, park.ID{Session: s.id}, func() { m.end(s, machine.EndExpired) }})
		case s.over && s.forget <= m.clock:
			s.gone = true
			m.seen["forgotten"]++
			if s.delayed {
				m.seen["forgotten after a lock-delay longer than the grace"]++
			}
		}
	}
	for _, c := range m.calls {
		switch {
		case c.state == parked && c.until != 0 && c.until <= m.clock:
			items = append(items, item{c.until, park.ID{Session: c.s.id, Seq: c.seq}, func() {
				if c.state == parked {
					m.abandon(c, "a limit")
					m.outcome(c.s, c.seq, park.TimedOut, 0)
				}
			}})
		case c.state == held && c.free != 0 && c.free <= m.clock:
			items = append(items, item{c.free, park.ID{Session: c.s.id, Seq: c.seq}, func() {
				m.release(c, machine.EndDelayOver)
			}})
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.at, b.at), a.id.Compare(b.id))
	})
	for _, i := range items {
		i.end()
	}
	m.settle()
}

// lastDelay is when the last lock-delay of a session is over.
func (m *model) lastDelay(s *modelSession) (at int64) {
	for _, c := range m.calls {
		if c.s == s && c.state == held {
			at = max(at, c.free)
		}
	}
	return at
}

func (m *model) do(s *modelSession, op *machine.Op) {
	switch op.Do {
	case machine.DoWait:
		m.wait(s, op)
	case machine.DoEnd:
		if op.To == 0 || op.To >= op.Seq {
			m.outcome(s, op.Seq, park.Invalid, 0)
			return
		}
		switch c := m.call(s, op.To); {
		case c == nil:
		case c.state == held:
			m.release(c, machine.EndReleased)
		case c.state == parked:
			m.abandon(c, "a cancel")
		}
		m.outcome(s, op.Seq, park.Done, 0)
	case machine.DoRelease:
		m.releasePart(s, op)
	case machine.DoResize:
		m.resize(s, op)
	case machine.DoNoop:
		m.outcome(s, op.Seq, park.Done, 0)
	case machine.DoDescribe:
		m.describe(s, op)
	case machine.DoProclaim:
		m.proclaim(s, op)
	case machine.DoTransfer:
		m.transfer(s, op)
	case machine.DoAdd:
		m.add(s, op)
	case machine.DoComplete:
		m.complete(s, op)
	case machine.DoAck:
		m.ack(s, op)
	case machine.DoClose:
		m.closeChan(s, op)
	case machine.DoAwait:
		m.await(s, op)
	case machine.DoSignal:
		m.signal(s, op)
	case machine.DoTable:
		m.tableOp(s, op)
	case machine.DoDelete:
		m.remove(s, op)
	case machine.DoLeave:
		m.outcome(s, op.Seq, park.Done, 0)
		m.end(s, machine.EndLeft)
	}
}

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

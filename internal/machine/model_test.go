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
	case machine.DoRefuse:
		code := park.Limit
		if op.N == 0 {
			code = park.Forbidden
		}
		m.outcome(s, op.Seq, code, op.N)
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

package machine_test

import (
	"cmp"
	"fmt"
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// The model's channels: each is a list of elements in the order in which they were sent, and
// whoever wants one looks through all of it.

type modelChan struct {
	on       park.Object
	capacity int64
	codec    string
	closed   bool
	elements []*modelElement
}

type modelElement struct {
	prio     int32
	value    string
	attempts int64
	holder   *modelCall // who has yet to acknowledge it
}

func isChan(k park.Kind) bool { return k == park.KindChan }

func (m *model) chanOf(on park.Object) *modelChan {
	for _, ch := range m.chans {
		if ch.on == on {
			return ch
		}
	}
	return nil
}

// next is the element that is received next, -1 if there is none.
func (ch *modelChan) next() int {
	best := -1
	for i, e := range ch.elements {
		if e.holder == nil && (best < 0 || e.prio > ch.elements[best].prio) {
			best = i
		}
	}
	return best
}

func (ch *modelChan) bytes() (n int64) {
	for _, e := range ch.elements {
		n += int64(len(e.value))
	}
	return n
}

func (ch *modelChan) unacked() (n int64) {
	for _, e := range ch.elements {
		if e.holder != nil {
			n++
		}
	}
	return n
}

// admitChan says whether an arm of a channel may be asked for. The first that says a capacity
// makes the channel, and whoever waits for one of any capacity must take it as it is.
func (m *model) admitChan(commit park.Commit, a park.Arm) (park.Code, int64) {
	switch {
	case commit == park.Every:
		m.seen["a channel in a LockAll refused"]++
		return park.Invalid, 0
	case a.On.Name == "":
		return park.Invalid, 256
	case a.Side != park.Send && a.Side != park.Recv, a.Shared, a.N != 1,
		a.Side == park.Send && a.Ack, a.Side == park.Recv && a.Value != "":
		m.seen["a channel's arm refused"]++
		return park.Invalid, 1
	case a.Limit < -1 || a.Limit > 65536:
		return park.Invalid, 65536
	case len(a.Value) > 65536:
		m.seen["an element too long"]++
		return park.Invalid, 65536
	}
	if code, value := m.misfit(a); code != 0 {
		return code, value
	}
	if m.chanOf(a.On) == nil && a.Limit >= 0 {
		m.makeChan(&modelChan{on: a.On, capacity: a.Limit, codec: a.Codec})
	}
	return 0, 0
}

// misfits is misfit of arms that were admitted one after the other: a later one may have made
// what an earlier one cannot have.
func (m *model) misfits(arms []park.Arm) (park.Code, int64) {
	for _, a := range arms {
		if !isChan(a.On.Kind) {
			continue
		}
		if code, value := m.misfit(a); code != 0 {
			m.seen["refused by what it made itself"]++
			return code, value
		}
	}
	return 0, 0
}

// misfit says why an arm cannot have the channel that there is, or would be.
func (m *model) misfit(a park.Arm) (park.Code, int64) {
	ch := m.chanOf(a.On)
	if ch == nil {
		if a.Ack && a.Limit == 0 {
			return park.Invalid, 1
		}
		return 0, 0
	}
	switch {
	case a.Limit >= 0 && a.Limit != ch.capacity:
		return park.Mismatch, ch.capacity
	case a.Codec != "" && a.Codec != ch.codec:
		m.seen["another codec"]++
		return park.Mismatch, -2
	case a.Ack && ch.capacity == 0:
		m.seen["a delivery of a rendezvous refused"]++
		return park.Invalid, 1
	}
	return 0, 0
}

func (m *model) makeChan(ch *modelChan) {
	m.chans = append(m.chans, ch)
	for _, c := range m.queues(ch.on) {
		if c.state != parked {
			continue // it stands on both queues
		}
		m.seen["made while others wait"]++
		for _, a := range c.arms {
			if a.On != ch.on {
				continue
			}
			if code, value := m.misfit(a); code != 0 {
				m.seen["refused by what was made"]++
				c.state = closed
				m.outcome(c.s, c.seq, code, value)
				break
			}
		}
	}
}

// side is who waits on one side of a channel, in order.
func (m *model) side(on park.Object, side park.Side) (q []*modelCall) {
	for _, c := range m.calls {
		if c.state == parked && slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On == on && a.Side == side }) {
			q = append(q, c)
		}
	}
	slices.SortFunc(q, before)
	return q
}

func otherSide(side park.Side) park.Side { return park.Send + park.Recv - side }

// partner is whom an arm of a rendezvous would meet.
func (m *model) partner(c *modelCall, a park.Arm) *modelCall {
	for _, o := range m.side(a.On, otherSide(a.Side)) {
		if o != c {
			return o
		}
	}
	return nil
}

// chanReady says whether an arm of a channel could be had now, by who stands where c does.
func (m *model) chanReady(c *modelCall, a park.Arm) bool {
	ch := m.chanOf(a.On)
	if ch == nil {
		return false
	}
	var meets *modelCall
	switch {
	case ch.closed && (a.Side == park.Send || len(ch.elements) == 0):
	case ch.capacity == 0:
		if meets = m.partner(c, a); meets == nil {
			return false
		}
	case a.Side == park.Send && int64(len(ch.elements)) == ch.capacity:
		return false
	case a.Side == park.Recv && ch.next() < 0:
		return false
	}
	for _, o := range m.side(a.On, a.Side) {
		if o != c && o != meets && before(o, c) < 0 {
			return false
		}
	}
	if meets != nil && slices.Contains(m.side(a.On, a.Side), meets) && before(meets, c) < 0 {
		m.seen["passed whom it meets"]++
	}
	return true
}

// moved commits an arm of a channel. It reports false for any other.
func (m *model) moved(c *modelCall, arm int) bool {
	a, waited := c.arms[arm], c.state == parked
	if !isChan(a.On.Kind) {
		return false
	}
	ch := m.chanOf(a.On)
	switch i := ch.next(); {
	case ch.closed && (a.Side == park.Send || len(ch.elements) == 0):
		m.seeWait(fmt.Sprintf("closed, side %d", a.Side), waited, len(c.arms) > 1)
		c.state = closed
		m.tellResult(c.s, c.seq, modelResult{code: park.Closed, arm: arm})
	case ch.capacity == 0:
		m.met(c, arm)
	case a.Side == park.Send:
		m.seeWait("sent", waited, len(c.arms) > 1)
		ch.elements = append(ch.elements, &modelElement{prio: c.prio, value: a.Value})
		m.got(c, arm, "")
	case a.Ack:
		m.seeWait("delivered", waited, len(c.arms) > 1)
		e := ch.elements[i]
		if e.attempts++; e.attempts > 1 {
			m.seen["delivered again"]++
		}
		m.outOfOrder(ch, i)
		e.holder = c
		m.several(c, arm)
		m.take(c, c.since)
	default:
		m.seeWait("received", waited, len(c.arms) > 1)
		e := ch.elements[i]
		if m.outOfOrder(ch, i); e.attempts > 0 {
			m.seen["received what was given back"]++
		}
		ch.elements = slices.Delete(ch.elements, i, i+1)
		m.unaryState(c.s, "unary received")
		m.got(c, arm, e.value)
	}
	return true
}

func (m *model) outOfOrder(ch *modelChan, i int) {
	switch {
	case i > 0 && ch.elements[i].prio > ch.elements[0].prio:
		m.seen["received before what was sent earlier"]++
	case ch.closed:
		m.seen["received after the close"]++
	}
}

func (m *model) got(c *modelCall, arm int, value string) {
	c.state = closed
	m.keepResult(c.s, c.seq, modelResult{code: park.Done, arm: arm, data: value})
}

// met commits an arm with the first arm of its partner that is of the other side.
func (m *model) met(c *modelCall, arm int) {
	a := c.arms[arm]
	p := m.partner(c, a)
	its := slices.IndexFunc(p.arms, func(b park.Arm) bool { return b.On == a.On && b.Side == otherSide(a.Side) })
	m.seeWait("met", c.state == parked, len(c.arms) > 1)
	for state, is := range map[string]bool{
		"two selects met":             len(c.arms) > 1 && len(p.arms) > 1,
		"met a session's own":         c.s == p.s,
		"met another arm than 0":      its > 0,
		"unary met a stream":          c.s.unary && !p.s.unary,
		"met who could not pass":      c.prio > p.prio,
		"met a select of other kinds": slices.ContainsFunc(p.arms, func(b park.Arm) bool { return !isChan(b.On.Kind) }),
		"met by who stood on both":    slices.Contains(m.side(a.On, a.Side), p),
	} {
		if is {
			m.seen[state]++
		}
	}
	c.state, p.state = closed, closed
	sent := a.Value + p.arms[its].Value // one of them receives, and has none
	gets := func(side park.Side) string {
		if side == park.Recv {
			return sent
		}
		return ""
	}
	m.got(p, its, gets(otherSide(a.Side)))
	m.got(c, arm, gets(a.Side))
}

// delivery is the element that a call holds, and its channel.
func (m *model) delivery(c *modelCall) (*modelChan, int) {
	for _, ch := range m.chans {
		if i := slices.IndexFunc(ch.elements, func(e *modelElement) bool { return e.holder == c }); i >= 0 {
			return ch, i
		}
	}
	return nil, 0
}

// deliveryText is what a grant says of an element, if it is of one.
func (m *model) deliveryText(c *modelCall) string {
	ch, i := m.delivery(c)
	if ch == nil {
		return ""
	}
	return printedDelivery(ch.elements[i].attempts, ch.elements[i].value)
}

// undelivered is what becomes of an element when a hold ends.
func (m *model) undelivered(c *modelCall, why machine.Ending) {
	ch, i := m.delivery(c)
	switch {
	case ch == nil:
	case why == machine.EndAcked:
		ch.elements = slices.Delete(ch.elements, i, i+1)
	default:
		ch.elements[i].holder = nil
		m.seen[fmt.Sprintf("given back, ending %d", why)]++
		m.unaryState(c.s, "unary gave back")
	}
}

func (m *model) ack(s *modelSession, op *machine.Op) {
	c := m.call(s, op.To)
	switch {
	case c == nil || c.state != held:
		m.seen["acknowledged what is not held"]++
		m.outcome(s, op.Seq, park.NotFound, 0)
		return
	case !isChan(c.arms[0].On.Kind):
		m.seen["acknowledged what is no element"]++
		m.outcome(s, op.Seq, park.Invalid, 0)
		return
	}
	m.seen["acknowledged"]++
	m.unaryState(s, "unary acknowledged")
	m.release(c, machine.EndAcked)
	m.keep(s, op.Seq, park.Done, 0)
}

func (m *model) closeChan(s *modelSession, op *machine.Op) {
	a := park.Arm{On: op.On, Limit: op.N, Codec: op.Codec}
	ch := m.chanOf(op.On)
	refused := func(code park.Code, value int64) { m.outcome(s, op.Seq, code, value) }
	code, value := m.misfit(a)
	switch {
	case op.On.Name == "":
		refused(park.Invalid, 256)
		return
	case !isChan(op.On.Kind):
		refused(park.Invalid, 1)
		return
	case op.N < -1 || op.N > 65536:
		refused(park.Invalid, 65536)
		return
	case code != 0:
		m.seen["close of another"]++
		refused(code, value)
		return
	case ch == nil && op.N < 0:
		m.seen["close of none"]++
		refused(park.NotFound, 0)
		return
	case ch == nil:
		m.seen["made by a close"]++
		m.makeChan(&modelChan{on: op.On, capacity: op.N, codec: op.Codec, closed: true})
	case ch.closed:
		m.seen["closed twice"]++
		refused(park.Closed, 0)
		return
	default:
		m.seen["closed"]++
		ch.closed = true
	}
	m.unaryState(s, "unary closed")
	m.change(&modelCall{s: s, seq: op.Seq}, park.Arm{On: op.On}, machine.Change{Type: machine.ChangeClosed})
	m.keep(s, op.Seq, park.Done, 0)
}

func (m *model) deleteChan(s *modelSession, op *machine.Op) {
	waiting := int64(0)
	for _, c := range m.calls {
		for _, a := range c.arms {
			if c.state == parked && a.On == op.On {
				waiting++
			}
		}
	}
	switch ch := m.chanOf(op.On); {
	case waiting > 0:
		m.seen["deletion of a channel that is waited for"]++
		m.outcome(s, op.Seq, park.Busy, waiting)
	case ch == nil:
		m.outcome(s, op.Seq, park.NotFound, 0)
	case ch.unacked() > 0:
		m.seen["deletion of a channel with deliveries"]++
		m.outcome(s, op.Seq, park.Busy, ch.unacked())
	default:
		m.seen[cmp.Or(map[bool]string{true: "deleted a closed channel"}[ch.closed], "deleted a channel with elements")]++
		m.chans = slices.DeleteFunc(m.chans, func(o *modelChan) bool { return o == ch })
		m.change(&modelCall{s: s, seq: op.Seq}, park.Arm{On: op.On}, machine.Change{Type: machine.ChangeRemoved})
		m.keep(s, op.Seq, park.Done, 0)
	}
}

// tidy forgets the channels of which nothing must stay.
func (m *model) tidy() {
	m.chans = slices.DeleteFunc(m.chans, func(ch *modelChan) bool {
		idle := !ch.closed && len(ch.elements) == 0 && len(m.queue(ch.on)) == 0
		if idle {
			m.seen["a channel vanished"]++
		}
		return idle
	})
}

func (m *model) channels() (all []park.Object) {
	for _, ch := range m.chans {
		all = append(all, ch.on)
	}
	return all
}

func (m *model) describeChan(d *machine.Description) {
	ch := m.chanOf(d.On)
	if ch == nil {
		return
	}
	d.Stored, d.Limit, d.Held, d.Unacked = true, ch.capacity, int64(len(ch.elements)), ch.unacked()
	if d.Bytes, d.Codec = ch.bytes(), ch.codec; ch.closed {
		d.State = park.ChannelClosed
	}
}

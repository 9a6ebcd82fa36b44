package main

import (
	"math/rand/v2"
	"time"

	"coordd.dev/internal/lessee"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A client is a process with one session: a lessee, the shell that package client is
// around it, and users.
type client struct {
	w        *world
	id       int
	instance uint64
	ttl      time.Duration
	early    time.Duration // its deadline is, for work that goes on so long after a loss
	deadline time.Duration // of the latest session
	clock    clock
	r        *rand.Rand // what its users do
	l        *lessee.Lessee
	users    []*user
	ops      map[lessee.Call]*op

	s        *stream
	knocking bool // a Connect is scheduled
	flushing bool // a Frame is scheduled
	timer    uint64
	tries    int
	live     uint64 // the session when it last looked

	paused bool
	inbox  []func()
	dead   bool // the process is gone; another has its place
	left   lessee.Call
}

func newClient(w *world, id int) *client {
	w.started++
	c := &client{
		w: w, id: id, instance: w.started, ttl: w.ttls[id],
		clock: newClock(w.fate, w.Faults.has(faultRate)),
		r:     rand.New(rand.NewPCG(w.Seed, 1_000+w.started)),
		ops:   map[lessee.Call]*op{},
	}
	if id%2 == 1 {
		c.early = c.ttl / 5
	}
	c.l = lessee.New(lessee.Config{TTL: c.ttl, EndEarly: c.early})
	for i := range w.Users {
		u := &user{c: c, id: i}
		c.users = append(c.users, u)
		c.later(upTo(c.r, 20*time.Millisecond), u.next)
	}
	c.pump()
	return c
}

// now is what the client takes for the time (SEMANTICS A4).
func (c *client) now() time.Duration { return c.clock.read(c.w.now) }

// run does f now, or when the process goes on, or never if it is dead.
func (c *client) run(f func()) {
	switch {
	case c.dead:
	case c.paused:
		c.inbox = append(c.inbox, f)
	default:
		f()
	}
}

// later does f when d has passed, and the process runs.
func (c *client) later(d time.Duration, f func()) { c.w.after(d, func() { c.run(f) }) }

func (c *client) resume() {
	if !c.paused || c.dead {
		return
	}
	c.paused = false
	c.w.tracef("client %d goes on", c.id)
	if chance(c.w.fate, 2) { // the timers fire first, or the network is read first
		c.wake()
	}
	inbox := c.inbox
	c.inbox = nil
	for _, f := range inbox {
		c.run(f)
	}
	c.wake()
}

// pump carries out what the last input to the lessee brought.
func (c *client) pump() {
	for out := c.l.Outcomes(); len(out) > 0; out = c.l.Outcomes() {
		for _, o := range out {
			c.outcome(o)
		}
	}
	id, deadline := c.l.Session()
	if id != 0 {
		c.deadline = deadline
	}
	if id != c.live {
		if c.live != 0 && c.s != nil {
			c.drop() // it was the stream of a session that is over
		}
		c.live = id
	}
	if !c.flushing && c.s != nil {
		c.flushing = true
		c.later(upTo(c.w.net, time.Millisecond), c.flush)
	}
	if c.s == nil {
		c.knock()
	}
	c.setTimer()
}

func (c *client) flush() {
	c.flushing = false
	for c.s != nil {
		f, ok := c.l.Frame(1 + c.r.IntN(8))
		if !ok {
			break
		}
		s := c.s
		id, _ := c.l.Session()
		for _, op := range f.Ops {
			if body, ok := op.Body.(*request); ok {
				body.sent(park.ID{Session: park.SessionID(id), Seq: park.Seq(op.Seq)})
			}
		}
		s.send(func() { s.node.frame(s, f) })
	}
	c.pumpIfSpoken()
}

// pumpIfSpoken is for Frame, which may end calls that became moot.
func (c *client) pumpIfSpoken() {
	for _, o := range c.l.Outcomes() {
		c.outcome(o)
	}
}

// knock tries to connect, soon.
func (c *client) knock() {
	if c.knocking || c.dead {
		return
	}
	c.knocking = true
	c.tries = min(c.tries+1, 6)
	c.later(time.Millisecond+upTo(c.w.net, time.Millisecond<<c.tries), func() {
		c.knocking = false
		if c.s == nil {
			c.open()
		}
	})
}

func (c *client) open() {
	c.wake() // it may be late, and its session over
	if c.s != nil {
		return
	}
	var secret lessee.Secret
	secret[0], secret[1] = byte(c.instance), byte(c.r.IntN(256))
	a, ok := c.l.Connect(c.now(), secret)
	if !ok {
		return // NextDue says when
	}
	if c.w.trace != nil {
		c.w.tracef("client %d %s", c.id, attachText(a))
	}
	c.s = c.w.connect(c, c.guess(), a)
	c.pump()
}

// guess is the node that the client takes for the leader.
func (c *client) guess() *node {
	if c.w.log.leader != nil && !chance(c.w.net, 8) {
		return c.w.log.leader
	}
	return c.w.nodes[c.w.net.IntN(len(c.w.nodes))]
}

// setTimer wakes the client when the lessee has something to do. After a jump of the wall
// clock it is late, as timers are.
func (c *client) setTimer() {
	due, ok := c.l.NextDue()
	if !ok {
		return
	}
	c.timer++
	timer := c.timer
	c.later(c.clock.real(due-c.now()), func() {
		if c.timer == timer {
			c.wake()
		}
	})
}

// wake is what the timer does.
func (c *client) wake() {
	c.l.Advance(c.now())
	if lease, ok := c.l.Renew(c.now()); ok {
		c.renew(lease)
	}
	c.pump()
}

// renew is the unary call.
func (c *client) renew(lease lessee.Lease) {
	w, n := c.w, c.guess()
	bad := func() time.Duration { // 0, a delay, or never
		if !w.Faults.has(faultRenewal) || w.healed || !chance(w.fate, 3) {
			return upTo(w.net, 2*time.Millisecond)
		}
		w.tally.hit(tallyRenewalLost)
		if chance(w.fate, 2) {
			return time.Hour
		}
		return upTo(w.fate, c.ttl)
	}
	there, back := bad(), bad()
	w.after(there, func() {
		n.run(func() {
			n.renew(park.SessionID(lease.Session), c.ttl, func(r machine.Renewal) {
				c.later(back, func() { c.renewed(lease, r) })
			})
		})
	})
}

func (c *client) renewed(lease lessee.Lease, r machine.Renewal) {
	if r == machine.RenewalRevoked {
		c.w.tally.hit(tallyRenewalRevoked)
	}
	c.l.Renewed(c.now(), lease, lessee.Renewal(r))
	c.pump()
}

func (c *client) attached(s *stream, a lessee.Attached) {
	if c.s != s {
		return
	}
	c.tries = 0
	if c.w.trace != nil {
		c.w.tracef("client %d %s", c.id, attachedText(a))
	}
	before, _ := c.l.Session()
	up := c.l.Attached(c.now(), s.epoch, a)
	if id, _ := c.l.Session(); before == 0 && id == 0 {
		c.w.tally.hit(tallyLateOpen)
	}
	if len(a.Replaced) > 0 {
		c.w.tally.hit(tallyReplacedNamed)
	}
	c.pump()
	if !up && c.s == s {
		c.drop() // opened after its own deadline
		c.pump()
	}
}

func (c *client) receive(s *stream, a lessee.Answer) {
	if c.s != s {
		return
	}
	c.l.Receive(c.now(), s.epoch, []lessee.Answer{a})
	c.pump()
}

// closed takes the end of a stream, and what it says of the session.
func (c *client) closed(s *stream, why machine.Refusal) {
	if c.s == s {
		c.drop()
	}
	session := uint64(s.session)
	if session == 0 {
		session = s.asked
	}
	switch why {
	case machine.RefusedOver:
		c.l.Over(c.now(), session, lessee.ReasonEnded)
	case machine.RefusedRevoked:
		c.l.Over(c.now(), session, lessee.ReasonRevoked)
	case machine.RefusedNotYours, machine.RefusedInvalid:
		c.w.failf("client %d is refused: %d", c.id, why)
	default:
	}
	c.pump()
}

// drop forgets the stream.
func (c *client) drop() {
	s := c.s
	if s == nil {
		return
	}
	c.s = nil
	s.gone = true
	s.up.closed = true
	c.l.Disconnect(s.epoch)
	c.w.after(upTo(c.w.net, 5*time.Millisecond)+max(0, s.up.held-c.w.now), func() { s.node.run(func() { s.close(0) }) })
}

// crash ends the process. Another takes its place.
func (c *client) crash() {
	c.w.tracef("client %d dies", c.id)
	c.w.tally.hit(tallyCrash)
	if s := c.s; s != nil {
		s.up.lose(c.w.fate.IntN(len(s.up.queue) + 1))
		c.w.after(upTo(c.w.fate, 100*time.Millisecond), func() { s.node.run(func() { s.close(0) }) })
	}
	c.dead = true
	for _, o := range c.ops {
		o.state = opOver
	}
	for _, o := range c.w.objects {
		o.prune()
	}
	c.w.clients[c.id] = newClient(c.w, c.id)
}

func (c *client) leave() {
	c.left = c.l.Leave()
	c.pump()
}

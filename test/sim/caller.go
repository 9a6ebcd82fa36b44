package main

import (
	"math/rand/v2"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A caller is a process without a stream, as dumb as a script (SEMANTICS B6): it opens a
// session, renews it, and makes calls under request ids, again and again until they are
// answered, over connections that lose, delay, double and reorder them.
type caller struct {
	w     *world
	id    int
	ttl   time.Duration
	clock clock
	r     *rand.Rand

	secret   machine.Secret
	session  park.SessionID // 0: none
	deadline time.Duration  // of it, on its own clock (SEMANTICS A4)
	opening  int            // which try is under way
	ids      int
	open     []*ask // calls that have no outcome, or hold
	tasks    int    // how many calls it has at once
	busy     int

	dead    bool // the process is gone; another has its place
	leaving bool
}

func newCaller(w *world, id int) *caller {
	w.started++
	c := &caller{
		w: w, id: id, ttl: []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}[id%3],
		clock: newClock(w.fate, w.Faults.has(faultRate)),
		r:     rand.New(rand.NewPCG(w.Seed, 5_000+w.started)),
		tasks: w.Users,
	}
	if chance(c.r, 16) {
		c.tasks = 0 // or it would forget what it asks besides
		c.after(upTo(c.r, time.Second), c.hammer)
	}
	c.begin()
	return c
}

func (c *caller) now() time.Duration { return c.clock.read(c.w.now) }

// after does f when d has passed, if the process lives.
func (c *caller) after(d time.Duration, f func()) {
	c.w.after(d, func() {
		if !c.dead {
			f()
		}
	})
}

// begin opens a session, again until one is there.
func (c *caller) begin() {
	if c.session != 0 || c.leaving {
		return
	}
	c.opening++
	try, start := c.opening, c.now()
	c.secret[0], c.secret[1], c.secret[2] = byte(c.id), byte(c.r.IntN(256)), byte(try)
	secret := c.secret
	c.send(&machine.Open{Secret: secret, TTL: int64(c.ttl), Who: "caller"}, func(r callReply) {
		if c.opening == try && c.session == 0 && r.session != 0 && !c.leaving {
			c.opened(r.session, start)
		}
	})
	c.after(20*time.Millisecond+upTo(c.w.net, 200*time.Millisecond), func() {
		if c.opening == try {
			c.begin()
		}
	})
}

func (c *caller) opened(s park.SessionID, start time.Duration) {
	c.opening++
	c.session = s
	c.w.tracef("caller %d has session %d", c.id, s)
	c.credit(start)
	c.renewSoon(s)
	for range c.tasks {
		c.after(upTo(c.r, 20*time.Millisecond), c.next)
	}
}

// credit sets the deadline that a renewal begun at start gives.
func (c *caller) credit(start time.Duration) {
	c.deadline = max(c.deadline, start+c.ttl-max(c.ttl/10, 50*time.Millisecond))
}

func (c *caller) renewSoon(s park.SessionID) {
	c.after(c.clock.real(c.ttl/4), func() {
		switch {
		case c.session != s:
			return
		case c.now() >= c.deadline:
			c.lose("its deadline has passed")
			return
		}
		start, n := c.now(), c.guess()
		c.travel(func() {
			n.run(func() {
				n.renew(s, c.ttl, func(r machine.Renewal) {
					c.travel(func() { c.renewed(s, start, r) })
				})
			})
		})
		c.renewSoon(s)
	})
}

func (c *caller) renewed(s park.SessionID, start time.Duration, r machine.Renewal) {
	switch {
	case c.dead || c.session != s || c.now() >= c.deadline:
	case r == machine.Renewed:
		c.credit(start)
	default:
		if r == machine.RenewalRevoked {
			c.w.tally.hit(tallyCallerRevoked)
		}
		c.lose("a renewal is refused")
	}
}

// lose gives a session up, with all that it had, and begins another.
func (c *caller) lose(why string) {
	c.w.tracef("caller %d gives session %d up: %s", c.id, c.session, why)
	if len(c.open) > 0 {
		c.w.tally.hit(tallyCallerLost)
	}
	c.session, c.deadline = 0, 0
	for _, a := range c.open {
		a.state = opLost
		a.drop()
	}
	c.open, c.busy = nil, 0
	c.after(min(c.ttl/10, time.Second), c.begin)
}

// next begins a call.
func (c *caller) next() {
	if c.session == 0 || c.w.healed || c.leaving || c.busy >= c.tasks {
		return
	}
	c.busy++
	c.ask(&ask{body: draw{c.w, c.r, c.ttl}.request()})
}

func (c *caller) guess() *node {
	if c.w.log.leader != nil && !chance(c.w.net, 8) {
		return c.w.log.leader
	}
	return c.w.nodes[c.w.net.IntN(len(c.w.nodes))]
}

// travel carries a message one way, or not at all: it may be late and overtake none.
func (c *caller) travel(f func()) {
	w := c.w
	d := 50*time.Microsecond + upTo(w.net, 3*time.Millisecond)
	if w.Faults.has(faultCut) && !w.healed && chance(w.fate, 8) {
		w.tally.hit(tallyCallLost)
		return
	}
	if w.Faults.has(faultLate) && !w.healed && chance(w.fate, 6) {
		d += upTo(w.fate, 300*time.Millisecond)
	}
	w.after(d, f)
}

// send makes a unary call of a node, maybe twice, and takes its answers, if any come.
func (c *caller) send(command machine.Command, answer func(callReply)) {
	times := 1
	if c.w.Faults.has(faultDouble) && !c.w.healed && chance(c.w.fate, 8) {
		times = 2
	}
	for range times {
		n := c.guess()
		c.travel(func() {
			n.run(func() {
				n.call(command, func(r callReply) {
					c.travel(func() {
						if !c.dead {
							answer(r)
						}
					})
				})
			})
		})
	}
}

// crash ends the process. Another takes its place.
func (c *caller) crash() {
	c.w.tracef("caller %d dies", c.id)
	c.w.tally.hit(tallyCallerCrash)
	c.dead = true
	for _, o := range c.w.objects {
		o.prune()
	}
	c.w.callers[c.id] = newCaller(c.w, c.id)
}

// leave closes the session, again until that is answered.
func (c *caller) leave() {
	c.leaving = true
	s := c.session
	if s == 0 {
		return
	}
	c.send(&machine.Call{Session: s, Secret: c.secret, Op: machine.Op{Do: machine.DoLeave}}, func(r callReply) {
		if c.session == s && (r.code == park.Done || r.refusal != 0) {
			c.session = 0
		}
	})
	c.after(200*time.Millisecond, func() {
		if c.session == s {
			c.leave()
		}
	})
}

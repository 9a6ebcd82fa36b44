package main

import (
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// scheduleFaults lets the kinds of faults of the case happen, each at its pace.
func (w *world) scheduleFaults() {
	for _, k := range []struct {
		kind faults
		mean time.Duration
		do   func()
	}{
		{faultCut, 300 * time.Millisecond, w.cut},
		{faultLate, 200 * time.Millisecond, w.stall},
		{faultHalfOpen, time.Second, w.halfOpen},
		{faultElect, time.Second, w.change},
		{faultOutage, 2 * time.Second, w.outage},
		{faultSlow, time.Second, w.slow},
		{faultPause, 1500 * time.Millisecond, w.pause},
		{faultStill, time.Second, w.still},
		{faultCrash, 2 * time.Second, w.crash},
		{faultJump, 2 * time.Second, w.jump},
		{faultRestart, 1500 * time.Millisecond, w.restart},
		{faultRevoke, 1500 * time.Millisecond, w.revoke},
	} {
		if w.Faults.has(k.kind) {
			w.again(k.mean, k.do)
		}
	}
}

// again does f, on average once in mean, until all heals.
func (w *world) again(mean time.Duration, f func()) {
	w.after(upTo(w.fate, 2*mean), func() {
		if w.healed {
			return
		}
		f()
		w.again(mean, f)
	})
}

func (w *world) someClient() *client { return w.clients[w.fate.IntN(len(w.clients))] }

func (w *world) someNode() *node { return w.nodes[w.fate.IntN(len(w.nodes))] }

func (w *world) cut() {
	if s := w.someClient().s; s != nil {
		w.tally.hit(tallyCut)
		s.cut()
	}
}

func (w *world) stall() {
	if s := w.someClient().s; s != nil && s.session != 0 {
		s.stall()
	}
}

func (w *world) halfOpen() {
	if s := w.someClient().s; s != nil {
		w.tally.hit(tallyHalfOpen)
		s.halfOpen()
	}
}

// change elects a node, maybe the same one.
func (w *world) change() {
	if n := w.someNode(); !n.paused {
		w.tally.hit(tallyElected)
		w.log.elect(n)
	}
}

func (w *world) outage() {
	w.tracef("nobody leads")
	w.tally.hit(tallyOutage)
	w.log.stop()
	w.after(upTo(w.fate, time.Second), w.leaderless)
}

// leaderless ends an outage.
func (w *world) leaderless() {
	if w.log.leader != nil {
		return
	}
	for _, n := range w.nodes {
		if !n.paused {
			w.log.elect(n)
			return
		}
	}
	w.after(100*time.Millisecond, w.leaderless)
}

func (w *world) slow() {
	n := w.log.leader
	if n == nil {
		return
	}
	n.slow = true
	w.after(upTo(w.fate, 500*time.Millisecond), func() { n.slow = false })
}

// pause stops the leader; the others elect one of them, if there are others.
func (w *world) pause() {
	n := w.log.leader
	if n == nil || n.paused {
		return
	}
	w.tracef("node %d stands still", n.id)
	n.paused = true
	w.after(upTo(w.fate, 2*time.Second), n.resume)
	w.after(150*time.Millisecond+upTo(w.fate, 150*time.Millisecond), func() {
		other := w.someNode()
		if w.log.leader == n && n.paused && other != n && !other.paused {
			w.tally.hit(tallyPausedOut)
			w.log.elect(other)
		}
	})
}

func (w *world) still() {
	c := w.someClient()
	if c.paused {
		return
	}
	w.tracef("client %d stands still", c.id)
	c.paused = true
	w.after(upTo(w.fate, c.ttl*3/2), c.resume)
}

func (w *world) crash() {
	if n := w.fate.IntN(len(w.clients) + len(w.callers)); n >= len(w.clients) {
		w.callers[n-len(w.clients)].crash()
		return
	}
	w.someClient().crash()
}

func (w *world) jump() {
	if len(w.callers) > 0 && chance(w.fate, 3) {
		c := w.callers[w.fate.IntN(len(w.callers))]
		c.clock.ahead += upTo(w.fate, c.ttl)
		return
	}
	c := w.someClient()
	d := upTo(w.fate, c.ttl)
	w.tracef("the clock of client %d jumps by %v", c.id, d)
	w.tally.hit(tallyJump)
	c.clock.ahead += d
}

func (w *world) restart() {
	n := w.someNode()
	if n.paused {
		return
	}
	n.restart()
	if w.log.leader == n {
		w.log.elect(n)
	}
}

func (w *world) revoke() {
	n := w.log.leader
	id, _ := w.someClient().l.Session()
	if len(w.callers) > 0 && chance(w.fate, 3) {
		id = uint64(w.callers[w.fate.IntN(len(w.callers))].session)
	}
	if n == nil || n.paused || id == 0 {
		return
	}
	c := &machine.Revoke{Session: park.SessionID(id), Now: chance(w.fate, 2)}
	w.tracef("an operator revokes session %d, now %v", c.Session, c.Now)
	w.tally.hit(tallyRevoked)
	n.submit(command{data: machine.AppendCommand(nil, c)})
}

package main

import (
	"time"

	"coordd.dev/internal/lessee"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A user is a goroutine of a program: one call after another.
type user struct {
	c  *client
	id int
	op *op // nil between two
}

// A request is the body of a call, as the wire's Op is.
type request struct {
	do   machine.Do
	wait machine.Wait
	n    int64
	on   park.Object

	value string
	heir  park.SessionID

	id  park.ID   // under which it was last sent
	ids []park.ID // all of them
}

// An op is one call and what came of it.
type op struct {
	u       *user
	call    lessee.Call
	class   lessee.Class
	body    *request
	state   opState
	ended   bool // given to End
	asked   time.Duration
	session uint64 // that has the hold

	arms    []park.Arm    // held
	stops   time.Duration // when the work under a lost hold does, on its client's clock
	n       int64         // permits believed held of a single arm
	giving  int           // changes of it under way
	gave    bool          // one of them hands it over
	changes *op           // the hold that a change is about
}

type opState uint8

const (
	opWaiting opState = iota
	opHolding
	opLost // and owes its End
	opOver
)

// next begins another call.
func (u *user) next() {
	if u.op != nil || u.c.w.healed || u.c.left != 0 {
		return
	}
	o := &op{u: u, body: draw{u.c.w, u.c.r, u.c.ttl}.request(), asked: u.c.w.now}
	switch o.body.do {
	case machine.DoWait:
		o.class = lessee.ClassWait
	case machine.DoDescribe:
		o.class = lessee.ClassRead
	default:
		o.class = lessee.ClassChange
	}
	u.op = o
	o.call = u.c.l.Start(o.class, o.body)
	u.c.ops[o.call] = o
	u.c.w.tracef("client %d user %d starts call %d: %v", u.c.id, u.id, o.call, o.body)
	if chance(u.c.r, 4) {
		u.c.later(upTo(u.c.r, u.c.ttl), func() { o.end() })
	}
	u.c.pump()
}

func (r *request) sent(id park.ID) {
	if id != r.id {
		r.id = id
		r.ids = append(r.ids, id)
	}
}

// end cancels or releases.
func (o *op) end() {
	c := o.u.c
	if o.ended || o.state == opOver {
		return
	}
	c.w.tracef("client %d ends call %d", c.id, o.call)
	if o.sure() {
		c.w.order.believed(c.w, o)
	}
	if o.state == opWaiting && o.body.id.Seq != 0 && c.w.order.holds[o.body.id] != nil {
		c.w.tally.hit(tallyEndRacesGrant)
	}
	o.ended = true
	o.drop()
	c.l.End(o.call)
	c.pump()
}

func (o *op) sure() bool {
	id, deadline := o.u.c.l.Session()
	return o.state == opHolding && !o.ended && !o.gave && !o.u.c.dead && id == o.session &&
		o.u.c.now() < deadline && !o.u.c.w.order.forced[park.SessionID(o.session)]
}

func (o *op) alone() bool {
	c := o.u.c
	return o.sure() || c.now() < o.stops && !c.dead && !c.w.order.forced[park.SessionID(o.session)]
}

func (o *op) share(on park.Object) park.Arm { return share(o.arms, o.n, on) }

func (o *op) key() park.ID { return o.body.id }

func (o *op) permits() (int64, bool) { return o.n, o.giving == 0 }

// drop says that o stands in nobody's way any more.
func (o *op) drop() {
	if o.alone() {
		return
	}
	for _, a := range o.arms {
		o.u.c.w.object(a.On).drop(o)
	}
}

// outcome takes what the lessee says of a call.
func (c *client) outcome(out lessee.Outcome) {
	if out.Call == c.left {
		return
	}
	o := c.ops[out.Call]
	if o == nil {
		c.w.failf("outcome: client %d has no call %d", c.id, out.Call)
		return
	}
	if c.w.trace != nil {
		c.w.tracef("client %d call %d: %s", c.id, out.Call, outcomeText(out))
	}
	switch out.Verdict {
	case lessee.Granted:
		o.granted(out)
	case lessee.Recalled:
		c.w.tally.hit(tallyRecalled)
		if o.state != opHolding || o.ended {
			c.w.failf("outcome: client %d: recalled: %v", c.id, o)
		}
		c.later(upTo(c.r, c.ttl/2), o.end)
	case lessee.Lost:
		if o.changes != nil {
			o.final(out)
			return
		}
		o.lost(out)
	default:
		o.final(out)
	}
}

func (o *op) granted(out lessee.Outcome) {
	c := o.u.c
	if o.state != opWaiting || o.ended || o.class != lessee.ClassWait {
		c.w.failf("outcome: client %d: granted: %v", c.id, o)
		return
	}
	r, _ := out.Body.(*reply)
	o.state = opHolding
	o.session, _ = c.l.Session()
	o.arms = o.body.wait.Arms
	if o.body.wait.Commit != park.Every {
		o.arms = o.arms[r.arm : r.arm+1]
	}
	o.n = o.arms[0].N
	for _, a := range o.arms {
		c.w.object(a.On).grant(c.w, o, a, r.token)
	}
	hold := upTo(c.r, c.ttl/2)
	if chance(c.r, 8) {
		hold *= 4
	}
	if c.w.healed {
		hold /= 8
	}
	if len(o.arms) == 1 && chance(c.r, 2) {
		c.later(hold/2, o.change)
	}
	c.later(hold, o.end)
}

// change gives a permit back, or proclaims or hands over a leadership.
func (o *op) change() {
	c := o.u.c
	if o.state != opHolding || o.ended || o.gave {
		return
	}
	body := draw{c.w, c.r, c.ttl}.change(o.arms[0], o.n)
	if body == nil {
		return
	}
	r := &op{u: o.u, body: body, class: lessee.ClassChange, changes: o}
	switch o.giving++; body.do {
	case machine.DoTransfer:
		o.gave = true
		o.drop()
		r.call = c.l.StartGive(o.call, r.body)
	case machine.DoRelease:
		o.n--
		fallthrough
	default:
		r.call = c.l.StartOn(o.call, r.body)
	}
	c.ops[r.call] = r
	c.w.tracef("client %d call %d of call %d: %v", c.id, r.call, o.call, body)
	c.pump()
}

func (o *op) lost(out lessee.Outcome) {
	c := o.u.c
	if o.state != opHolding || o.ended && out.Reason != lessee.ReasonRevoked || out.Reason == 0 {
		c.w.failf("outcome: client %d: %s: %v", c.id, outcomeText(out), o)
		return
	}
	c.w.tally.lost(out.Reason)
	o.state = opLost
	if out.Reason == lessee.ReasonExpired || out.Reason == lessee.ReasonPaused {
		o.stops = c.deadline + c.early
	}
	if o.alone() {
		c.w.tally.hit(tallyWorkGoesOn)
	}
	o.drop()
	c.later(upTo(c.r, 50*time.Millisecond), o.end)
}

// final takes the last outcome of a call.
func (o *op) final(out lessee.Outcome) {
	c := o.u.c
	if why := o.wrong(out); why != "" {
		c.w.failf("outcome: client %d: %s: %s: %v", c.id, outcomeText(out), why, o)
		return
	}
	c.w.tally.verdict(out, o)
	o.state = opOver
	delete(c.ops, o.call)
	if o.changes != nil {
		o.changes.giving--
		if out.Verdict != lessee.Done {
			o.changes.giving = 1 << 20 // what it holds is not known any more
			o.changes.end()            // if it was to be handed over, too
		}
		return
	}
	o.u.op = nil
	c.later(upTo(c.r, c.ttl/4), o.u.next)
}

// wrong says why a final outcome cannot be, "" if it can.
func (o *op) wrong(out lessee.Outcome) string {
	w := o.u.c.w
	r, _ := out.Body.(*reply)
	done := 0
	for _, id := range o.body.ids {
		if w.order.done[id] {
			done++
		}
	}
	switch {
	case done > 1:
		return "it was done twice"
	case done == 0 && out.Verdict == lessee.Done && o.class == lessee.ClassChange:
		return "it was not done"
	case done > 0 && out.Verdict != lessee.Done && out.Verdict != lessee.Unknown:
		return "it was done"
	case o.state == opOver:
		return "it is over already"
	case o.state == opHolding && !o.ended && !o.gave:
		return "it holds"
	case out.Verdict == lessee.Ended && !o.ended && !o.gave:
		return "nobody ended it"
	case out.Verdict == lessee.Unknown && o.class != lessee.ClassChange:
		return "it changes nothing"
	case out.Verdict == lessee.Done && o.class == lessee.ClassWait:
		return "a wait is granted or refused"
	case out.Verdict != lessee.Refused:
		return ""
	case r.code == park.Busy && !o.body.wait.Try:
		return "it may wait"
	case r.code == park.TimedOut && int64(w.now-o.asked)*106/100 < o.body.wait.Limit:
		return "its limit has not passed"
	}
	return ""
}

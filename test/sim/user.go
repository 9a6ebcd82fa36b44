package main

import (
	"slices"
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

	arms     []park.Arm    // held
	stops    time.Duration // when the work under a lost hold does, on its client's clock
	n        int64         // permits believed held of a single arm
	giving   int           // Releases under way
	releases *op           // the hold that a Release is about
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
	o := &op{u: u, body: u.choose(), asked: u.c.w.now}
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

// choose draws a request.
func (u *user) choose() *request {
	c, r := u.c, u.c.r
	switch r.IntN(24) {
	case 0:
		return &request{do: machine.DoDescribe, on: c.w.objects[r.IntN(len(c.w.objects))].on}
	case 1, 2:
		o := c.w.objects[r.IntN(len(c.w.objects))]
		n := 1 + r.Int64N(4)
		o.most = max(o.most, n)
		return &request{do: machine.DoResize, on: o.on, n: n}
	}
	w := machine.Wait{Commit: park.Any, Arms: []park.Arm{u.arm(r.IntN(len(c.w.objects)))}}
	switch r.IntN(8) {
	case 0:
		w.Commit, w.Arms = park.Every, u.all()
	case 1:
		w.Arms = u.several()
	case 2:
		w.Commit, w.Arms = park.First, u.several()
	}
	w.Try = chance(r, 8)
	if chance(r, 6) {
		w.Delay = int64(upTo(r, c.ttl))
	}
	if chance(r, 8) {
		w.Limit = int64(upTo(r, c.ttl)) + 1
	}
	return &request{do: machine.DoWait, wait: w}
}

func (u *user) arm(i int) park.Arm {
	o, r := u.c.w.objects[i], u.c.r
	a := park.Arm{On: o.on, N: 1}
	if o.on.Kind == park.KindLock {
		a.Shared = chance(r, 3)
		return a
	}
	a.N, a.Limit = 1+r.Int64N(o.limit), o.limit
	return a
}

// all are the arms of a LockAll: distinct and sorted, as the machine wants them.
func (u *user) all() []park.Arm {
	var arms []park.Arm
	for i := range u.c.w.objects {
		if chance(u.c.r, 2) {
			arms = append(arms, u.arm(i))
		}
	}
	if len(arms) == 0 {
		arms = append(arms, u.arm(0))
	}
	slices.SortFunc(arms, func(a, b park.Arm) int { return a.On.Compare(b.On) })
	return arms
}

// several are the arms of a Select, maybe one object twice.
func (u *user) several() []park.Arm {
	arms := make([]park.Arm, 1+u.c.r.IntN(3))
	for i := range arms {
		arms[i] = u.arm(u.c.r.IntN(len(u.c.w.objects)))
	}
	return arms
}

// end cancels or releases.
func (o *op) end() {
	c := o.u.c
	if o.ended || o.state == opOver {
		return
	}
	c.w.tracef("client %d ends call %d", c.id, o.call)
	if o.state == opHolding && o.sure() {
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

// sure reports whether its client may believe in the hold: until the deadline on its
// clock, whatever it has noticed (SEMANTICS A4).
func (o *op) sure() bool {
	id, deadline := o.u.c.l.Session()
	return o.state == opHolding && !o.ended && !o.u.c.dead && id == o.session &&
		o.u.c.now() < deadline && !o.u.c.w.order.forced[park.SessionID(o.session)]
}

// alone reports whether nobody else may hold what o holds: as long as its client may
// believe in it, and the work that its loss has stopped needs to end (SEMANTICS A5).
func (o *op) alone() bool {
	c := o.u.c
	return o.sure() || c.now() < o.stops && !c.dead && !c.w.order.forced[park.SessionID(o.session)]
}

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
		if o.releases != nil {
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
		c.w.object(a.On).grant(o, a, r.token)
	}
	hold := upTo(c.r, c.ttl/2)
	if chance(c.r, 8) {
		hold *= 4
	}
	if c.w.healed {
		hold /= 8
	}
	if o.n > 1 && len(o.arms) == 1 && chance(c.r, 2) {
		c.later(hold/2, o.release)
	}
	c.later(hold, o.end)
}

// release gives a permit back.
func (o *op) release() {
	c := o.u.c
	if o.state != opHolding || o.ended || o.n < 2 {
		return
	}
	o.n--
	o.giving++
	r := &op{u: o.u, body: &request{do: machine.DoRelease, n: 1}, class: lessee.ClassChange, releases: o}
	r.call = c.l.StartOn(o.call, r.body)
	c.ops[r.call] = r
	c.w.tracef("client %d call %d releases one of call %d", c.id, r.call, o.call)
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
	if o.releases != nil {
		o.releases.giving--
		if out.Verdict != lessee.Done {
			o.releases.giving = 1 << 20 // what it holds is not known any more
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
	case o.state == opHolding && !o.ended:
		return "it holds"
	case out.Verdict == lessee.Ended && !o.ended:
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

// An object is a named thing that users want, and who has it by what clients believe.
type object struct {
	on    park.Object
	limit int64 // that everybody states, of a semaphore
	most  int64 // the highest that anybody set
	sure  []*op
	token park.Token // the highest that anybody was told
}

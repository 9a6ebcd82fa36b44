package main

import (
	"fmt"
	"slices"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// An ask is a call of a caller, and what came of it.
type ask struct {
	c       *caller
	name    string // its request id
	body    *request
	state   opState
	ended   bool // its End was sent
	asked   time.Duration
	session park.SessionID
	secret  machine.Secret
	sent    int

	arms   []park.Arm // held
	token  park.Token
	n      int64
	giving int
	gave   bool
	about  *ask // the hold that a change is about

	heard func(callReply) // a hammering caller's; else nil
}

// ask makes a call in the present session.
func (c *caller) ask(a *ask) {
	c.ids++
	a.c, a.asked, a.session, a.secret = c, c.w.now, c.session, c.secret
	if a.name == "" {
		a.name = fmt.Sprintf("%d", c.ids)
	}
	c.open = append(c.open, a)
	c.w.tracef("caller %d asks %s: %v", c.id, a.name, a.body)
	a.send()
	if chance(c.r, 4) && a.about == nil && a.heard == nil {
		at := upTo(c.r, c.ttl)
		if chance(c.r, 2) {
			at = upTo(c.r, 3*time.Millisecond) // the End may overtake the call
		}
		c.after(at, a.end)
	}
}

func (a *ask) current() bool { return !a.c.dead && a.c.session == a.session }

// send makes the call, again until it is answered or nobody wants to know.
func (a *ask) send() {
	if a.state != opWaiting || a.ended || !a.current() {
		return
	}
	if a.sent++; a.sent > 1 {
		a.c.w.tally.hit(tallyCallAgain)
	}
	call := &machine.Call{Session: a.session, Secret: a.secret, Request: a.name, Op: opOfRequest(a.body)}
	if a.about != nil {
		call.Target = a.about.name
	}
	a.c.send(call, a.answer)
	a.c.after(30*time.Millisecond+upTo(a.c.w.net, 300*time.Millisecond), a.send)
}

// answer takes one of the answers, of which each send may have its own.
func (a *ask) answer(r callReply) {
	c := a.c
	if c.w.trace != nil {
		c.w.tracef("caller %d hears of %s: %v", c.id, a.name, r)
	}
	switch {
	case !a.current() || a.ended || a.state == opOver:
	case r.refusal != 0:
		a.refused(r.refusal)
	case a.heard != nil:
		a.heard(r)
	case r.code == park.Granted && a.state == opHolding:
		if r.token != a.token {
			c.w.failf("twice: %v is granted again with token %d", a, r.token)
		}
	case r.code == park.Granted:
		a.granted(r)
	case a.state == opWaiting:
		a.final(r)
	}
}

func (a *ask) refused(why machine.Refusal) {
	switch why {
	case machine.RefusedOver, machine.RefusedRevoked:
		a.c.lose("a call is refused")
	default:
		a.c.w.failf("outcome: %v is refused: %d", a, why)
	}
}

func (a *ask) granted(r callReply) {
	c := a.c
	if a.state != opWaiting || a.body.do != machine.DoWait {
		c.w.failf("outcome: %v is granted", a)
		return
	}
	a.state, a.token, a.arms = opHolding, r.token, a.body.wait.Arms
	if a.body.wait.Commit != park.Every {
		a.arms = a.arms[r.arm : r.arm+1]
	}
	a.n = a.arms[0].N
	for _, arm := range a.arms {
		c.w.object(arm.On).grant(c.w, a, arm, r.token)
	}
	hold := upTo(c.r, c.ttl/2)
	if c.w.healed {
		hold /= 8
	}
	if len(a.arms) == 1 && chance(c.r, 2) {
		c.after(hold/2, a.change)
	}
	c.after(hold, a.end)
}

// change gives a permit back, or proclaims or hands over a leadership.
func (a *ask) change() {
	if !a.sure() {
		return
	}
	body := draw{a.c.w, a.c.r, a.c.ttl}.change(a.arms[0], a.n)
	if body == nil {
		return
	}
	switch a.giving++; body.do {
	case machine.DoTransfer:
		a.gave = true
		a.drop()
	case machine.DoRelease:
		a.n--
	default:
	}
	a.c.ask(&ask{body: body, about: a})
}

func (a *ask) final(r callReply) {
	if why := a.wrong(r); why != "" {
		a.c.w.failf("outcome: %s: %v: %v", why, a, r)
		return
	}
	a.over()
	switch {
	case a.about == nil:
	case r.code == park.Done:
		if a.about.giving--; a.body.do == machine.DoTransfer {
			a.about.end() // which has nothing to release, and says so to nobody
		}
	default:
		a.about.giving = 1 << 20 // what it holds is not known any more
		a.about.end()
	}
}

// wrong says why an outcome cannot be, "" if it can.
func (a *ask) wrong(r callReply) string {
	done := a.c.w.order.done[a.key()]
	changes := a.body.do != machine.DoWait && a.body.do != machine.DoDescribe && a.body.do != machine.DoNoop
	switch {
	case changes && done != (r.code == park.Done):
		return fmt.Sprintf("done %v", done)
	case r.code == park.Done && a.body.do == machine.DoWait:
		return "a wait is granted or refused"
	case r.code == park.Over:
		return "nobody ended it"
	case r.code == park.Busy && !a.body.wait.Try:
		return "it may wait"
	case r.code == park.NotFound && a.about != nil && a.body.do != machine.DoTransfer && !a.about.ended && !a.about.gave:
		return "what it is about is held"
	case r.code == park.TimedOut && int64(a.c.w.now-a.asked)*106/100 < a.body.wait.Limit:
		return "its limit has not passed"
	}
	return ""
}

// over ends the call for the caller.
func (a *ask) over() {
	c := a.c
	a.state = opOver
	c.open = slices.DeleteFunc(c.open, func(other *ask) bool { return other == a })
	if a.about == nil && a.heard == nil {
		c.busy--
		c.after(upTo(c.r, c.ttl/4), c.next)
	}
}

// end gives up or releases, again until that is answered.
func (a *ask) end() {
	if a.ended || a.state != opWaiting && a.state != opHolding || !a.current() {
		return
	}
	if a.sure() {
		a.c.w.order.believed(a.c.w, a)
	}
	a.c.w.tracef("caller %d ends %s", a.c.id, a.name)
	a.ended = true
	a.drop()
	a.sendEnd()
}

func (a *ask) sendEnd() {
	if !a.current() || a.state == opOver {
		return
	}
	call := &machine.Call{Session: a.session, Secret: a.secret, Request: a.name, Op: machine.Op{Do: machine.DoEnd}}
	a.c.send(call, func(r callReply) {
		switch {
		case !a.current() || a.state == opOver:
		case r.refusal != 0:
			a.refused(r.refusal)
		default:
			a.over()
		}
	})
	a.c.after(30*time.Millisecond+upTo(a.c.w.net, 300*time.Millisecond), a.sendEnd)
}

func (a *ask) sure() bool {
	return a.state == opHolding && !a.ended && !a.gave && a.current() &&
		a.c.now() < a.c.deadline && !a.c.w.order.forced[a.session]
}

func (a *ask) alone() bool { return a.sure() }

func (a *ask) drop() {
	for _, arm := range a.arms {
		a.c.w.object(arm.On).drop(a)
	}
}

func (a *ask) share(on park.Object) park.Arm { return share(a.arms, a.n, on) }

func (a *ask) key() park.ID { return a.c.w.order.keyOf(a.session, a.name) }

func (a *ask) permits() (int64, bool) { return a.n, a.giving == 0 }

func (a *ask) String() string {
	return fmt.Sprintf("request %s of caller %d, session %d (%v)", a.name, a.c.id, a.session, a.body)
}

// hammer makes so many calls that the first of them is forgotten: then its id is a new one.
func (c *caller) hammer() {
	if c.session == 0 {
		return
	}
	on := park.Object{Kind: park.KindLock, Name: fmt.Sprintf("own%d-%d", c.id, c.session)}
	wait := &request{do: machine.DoWait, wait: machine.Wait{Commit: park.Any, Arms: []park.Arm{{On: on, N: 1}}}}
	const name = "hammered"
	var first park.Token
	lock := func(then func(park.Token)) {
		a := &ask{name: name, body: wait}
		a.heard = func(r callReply) {
			switch a.over(); {
			case r.code == park.Granted:
				then(r.token)
			case first != 0 && (r.code == park.Over || r.code == park.Done):
				// What was said under this id before was late, and came to be its first call.
			default:
				c.w.failf("hammer: %v: %v", a, r)
			}
		}
		c.ask(a)
	}
	lock(func(token park.Token) {
		first = token
		c.endHammered(name, func() {
			c.noops(session.KeptRequests, func() {
				lock(func(again park.Token) {
					c.w.tally.hit(tallyForgotten)
					if again <= first {
						c.w.failf("hammer: request %s has token %d again, after %d", name, again, first)
					}
					c.endHammered(name, func() {})
				})
			})
		})
	})
}

// endHammered ends a call, and then asks for it again: it must be over.
func (c *caller) endHammered(name string, then func()) {
	a := &ask{name: name, body: &request{do: machine.DoNoop}}
	a.heard = func(r callReply) {
		switch a.over(); r.code {
		case park.Over:
			then()
		case park.Granted:
			// A deposed leader that lags answers by what it applies only now. It is true of
			// then, and the order sees whether it is anything else.
		default:
			c.w.failf("hammer: request %s was ended, and is %v", name, r)
		}
	}
	done := false
	var send func()
	s := c.session
	send = func() {
		if done || c.session != s {
			return
		}
		call := &machine.Call{Session: s, Secret: c.secret, Request: name, Op: machine.Op{Do: machine.DoEnd}}
		c.send(call, func(r callReply) {
			if !done && c.session == s && r.refusal == 0 {
				done = true
				c.ask(a)
			}
		})
		c.after(100*time.Millisecond, send)
	}
	send()
}

// noops makes n calls that change nothing, a few at once.
func (c *caller) noops(n int, then func()) {
	answered, sent := 0, 0
	var more func()
	more = func() {
		if sent == n {
			return
		}
		sent++
		a := &ask{name: fmt.Sprintf("noop-%d", sent), body: &request{do: machine.DoNoop}}
		a.heard = func(r callReply) {
			if a.over(); r.code != park.Done {
				c.w.failf("hammer: %v: %v", a, r)
			}
			if answered++; answered == n {
				then()
			}
			more()
		}
		c.ask(a)
	}
	for range 16 {
		more()
	}
}

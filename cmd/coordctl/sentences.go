package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

// told is how many holders are told of each in a sentence of their own.
const told = 3

// explain says what a person wants to know of an object that there is. The chain is what stands
// behind who waits for it.
func (e *explaining) explain(r *coordv1.ExplainObjectResponse, chain []string) *explanation {
	d := r.GetDescription()
	x := &explanation{Object: new(describedOf(d, nil)), HoldTimes: times(r.GetHoldTimes())}
	for _, w := range r.GetExpectedWaits() {
		x.Waits = append(x.Waits, millis(w.AsDuration()))
	}
	if w := r.GetExpectedWaitOfNext(); w != nil {
		x.Next = millis(w.AsDuration())
	}
	if !hadInTurn(d.GetKind()) {
		e.explainOther(x, r)
		return x
	}
	x.say("%s", whoHas(d))
	for i, p := range d.GetHolders() {
		if i == told {
			x.say("%s.", plural(len(d.GetHolders())-told, "other hold")+" "+isAre(len(d.GetHolders())-told)+" not told of here; see coordctl describe")
			break
		}
		x.holder(p, r.GetHoldTimes(), len(d.GetHolders()) > 1 || d.GetKind() == coordv1.Kind_KIND_SEMAPHORE)
	}
	x.queue(d)
	x.Sentences = append(x.Sentences, chain...)
	x.expect(r)
	e.next(x, d)
	return x
}

func (x *explanation) say(format string, args ...any) {
	x.Sentences = append(x.Sentences, fmt.Sprintf(format, args...))
}

// whoHas is the first sentence.
func whoHas(d *coordv1.Description) string {
	object := kindWord(d.GetKind()) + " " + wholly(d.GetName())
	n := len(d.GetHolders())
	switch {
	case d.GetKind() == coordv1.Kind_KIND_SEMAPHORE && n == 0:
		return fmt.Sprintf("No permit of %s is held; its limit is %d.", object, d.GetLimit())
	case d.GetKind() == coordv1.Kind_KIND_SEMAPHORE:
		return fmt.Sprintf("%d of %s of %s are held.", d.GetHeld(), plural(int(d.GetLimit()), "permit"), object)
	case n == 0:
		return "Nobody holds " + object + "."
	case n > 1:
		return fmt.Sprintf("%s is shared by %d holders.", capital(object), n)
	}
	p := d.GetHolders()[0]
	verb := "held"
	if d.GetKind() == coordv1.Kind_KIND_ELECTION {
		verb = "led"
	}
	if p.GetDelayed() != nil {
		return capital(object) + " is held by nobody, but stays taken by a lock-delay."
	}
	s := capital(object) + " is " + verb
	if p.GetShared() {
		s += ", shared,"
	}
	s += " by " + who(p)
	if v := p.GetValue(); v != "" {
		s += " with the value " + show(v)
	}
	return s + since(p) + "."
}

// since is from when on, and for how long.
func since(p *coordv1.Party) string {
	held := p.GetFor().AsDuration()
	return ", since " + clockTime(time.Now().Add(-held)) + " (" + short(held) + ")"
}

// holder says why it holds, and whether it is alive.
func (x *explanation) holder(p *coordv1.Party, past *coordv1.HoldTimes, several bool) {
	session := "session " + formatSessionID(p.GetSessionId())
	if p.GetDelayed() != nil {
		x.say("The session of %s is over (%s). Nobody else has it for another %s.", who(p), session, short(p.GetDelayed().AsDuration()))
		return
	}
	if several {
		x.say("%s holds it%s.", who(p), since(p))
	}
	if note := p.GetNote(); note != "" {
		x.say("It says why: %s.", strings.TrimSuffix(clean(note), "."))
	} else {
		x.say("It does not say why: it has no note.")
	}
	x.alive(p)
	held := p.GetFor().AsDuration()
	switch {
	case past == nil:
	case held > past.GetLongest().AsDuration():
		x.say("It has held it for longer than any of the last %s.", plural(int(past.GetCount()), "hold"))
	case held > past.GetP90().AsDuration():
		x.say("It has held it for longer than nine in ten of the last %s.", plural(int(past.GetCount()), "hold"))
	}
}

// alive says whether a holder is.
func (x *explanation) alive(p *coordv1.Party) {
	session := "session " + formatSessionID(p.GetSessionId())
	renewed, ttl, left := p.GetRenewed().AsDuration(), p.GetTtl().AsDuration(), leaseLeft(p)
	switch {
	case left == 0:
		x.say("It is not heard of: its lease (%s, of %s) runs out now.", session, short(ttl))
	case renewed > ttl/2: // it renews after a third
		x.say("It may be dead: it should have renewed its lease and did so last %s ago. Unless it does, the lease ends in %s, and the hold with it (%s, lease of %s).",
			short(renewed), short(left), session, short(ttl))
	default:
		x.say("It is alive: it renewed its lease %s ago; the lease ends in %s unless it is renewed again (%s).", short(renewed), short(left), session)
	}
}

// queue says who waits.
func (x *explanation) queue(d *coordv1.Description) {
	n := d.GetWaiting()
	switch {
	case n == 0:
		x.say("Nobody waits for it.")
		return
	case len(d.GetWaiters()) == 0: // they say too much of themselves to be listed
		x.say("Waiting: %d.", n)
		return
	}
	first := d.GetWaiters()[0]
	s := "1 waits"
	if n > 1 {
		s = strconv.FormatInt(n, 10) + " wait"
	}
	s += "; first is " + who(first)
	if d.GetKind() == coordv1.Kind_KIND_SEMAPHORE {
		s += ", for " + plural(int(first.GetCount()), "permit")
	}
	x.say("%s, which has waited %s.", s, short(first.GetFor().AsDuration()))
	if len(d.GetHolders()) == 0 {
		x.say("That nobody holds it means that the first waits for something else besides, as LockAll does.")
	}
}

// expect says what the recent past lets expect.
func (x *explanation) expect(r *coordv1.ExplainObjectResponse) {
	t := r.GetHoldTimes()
	if t == nil {
		x.say("No hold that ended is remembered, so there is no telling how long it takes.")
		return
	}
	x.say("The last %s lasted %s (median), nine in ten no longer than %s, the longest %s.", plural(int(t.GetCount()), "hold"),
		short(t.GetMedian().AsDuration()), short(t.GetP90().AsDuration()), short(t.GetLongest().AsDuration()))
	waits, next := r.GetExpectedWaits(), roughly(r.GetExpectedWaitOfNext().AsDuration())
	var all []string
	if len(waits) > 0 {
		all = append(all, "the first waits "+roughly(waits[0].AsDuration())+" yet")
	}
	if n := len(waits); n > 1 {
		all = append(all, fmt.Sprintf("number %d %s", n, roughly(waits[n-1].AsDuration())))
	}
	all = append(all, "who comes now "+next)
	if overdue(r) {
		x.say("By that it should have ended already. From its end on %s.", strings.Join(all, ", "))
		return
	}
	x.say("If it goes on like that %s.", strings.Join(all, ", "))
}

// overdue reports whether all holders have held for longer than most did.
func overdue(r *coordv1.ExplainObjectResponse) bool {
	for _, p := range r.GetDescription().GetHolders() {
		if p.GetDelayed() != nil || p.GetFor().AsDuration() <= r.GetHoldTimes().GetP90().AsDuration() {
			return false
		}
	}
	return len(r.GetDescription().GetHolders()) > 0
}

// next says what can be done.
func (e *explaining) next(x *explanation, d *coordv1.Description) {
	if len(d.GetHolders()) == 0 {
		if d.GetWaiting() == 0 {
			x.say("Nothing needs to be done: who asks for it has it at once.")
		}
		return
	}
	p := d.GetHolders()[0]
	switch {
	case p.GetDelayed() != nil:
		x.say("Wait %s: nothing shortens a lock-delay.", short(p.GetDelayed().AsDuration()))
		return
	case d.GetKind() == coordv1.Kind_KIND_SEMAPHORE && d.GetHeld() < d.GetLimit() && d.GetWaiting() == 0:
		x.say("Nothing needs to be done: %s left.", plural(int(d.GetLimit()-d.GetHeld()), "permit")+" "+isAre(int(d.GetLimit()-d.GetHeld())))
		return
	}
	x.Command = e.revoke(p.GetSessionId())
	x.say("Wait; or take it away, with all that its session holds: %s", x.Command)
	x.say("Its holder is then told to stop, and it is free when the lease ends at the latest. --now does not wait for the holder, which may go on writing.")
}

// explainSession says what there is to know of a session.
func (e *explaining) explainSession(s *coordv1.Session) *explanation {
	x := &explanation{Session: new(sessionViewOf(s)), Command: e.revoke(s.GetSessionId())}
	id, ttl, left := formatSessionID(s.GetSessionId()), s.GetTtl().AsDuration(), s.GetRemaining().AsDuration()
	x.say("Session %s is of %s.", id, whoIs(s.GetSessionId(), s.GetWho(), ""))
	x.say("It has %s and %s.", plural(int(s.GetHolds()), "hold"), plural(int(s.GetWaits()), "wait"))
	switch {
	case s.GetRevoked():
		x.say("It was revoked and cannot be renewed: it ends in %s, with all that it holds.", short(left))
		x.Command = strings.Replace(x.Command, " revoke ", " revoke --now ", 1)
		x.say("Wait %s; or end it at once: %s", short(left), x.Command)
		return x
	case left < ttl/2:
		x.say("It may be dead: it should have renewed its lease of %s, which ends in %s unless it is renewed.", short(ttl), short(left))
	default:
		x.say("It is alive: its lease of %s ends in %s unless it is renewed.", short(ttl), short(left))
	}
	x.say("To take it back, with all that it holds: %s", x.Command)
	return x
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

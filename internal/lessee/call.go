package lessee

import (
	"cmp"
	"slices"
)

// A call is what Start, StartOn, StartGive or Leave began and what has no final outcome yet.
type call struct {
	id    Call
	class Class // 0 of Leave
	phase phase
	body  any
	on    *call // the hold that it is about, of StartOn, StartGive and StartAwait
	gives bool  // Done or Granted, it ends that hold too: StartGive, StartAwait
	again any   // of StartAwait: its body once the hold is gone
	here  bool  // of StartHere: asked in one session only

	seq    uint64 // in phases sent, held and limbo (there: of the old session)
	endSeq uint64 // of its End; 0: not sent in this session

	ending   bool   // End was called
	recalled bool   // Recalled was given
	denied   bool   // the server said that the hold is over, perhaps by a give
	reason   Reason // of its loss

	in         *list // that it is on, or nil
	prev, next *call
}

type phase uint8

const (
	queued phase = iota // to be sent, or to be sent again
	sent                // has a seq, no outcome
	held                // Granted was given
	limbo               // a change, sent in the old session
	lost                // Lost was given; End is owed
	over                // has its final outcome
)

// A list is of calls, each in at most one list, so that any can leave at once.
type list struct {
	first, last *call
	n           int
}

func (q *list) push(c *call) {
	c.in, c.prev = q, q.last
	if q.last != nil {
		q.last.next = c
	} else {
		q.first = c
	}
	q.last = c
	q.n++
}

func (q *list) remove(c *call) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		q.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		q.last = c.prev
	}
	c.in, c.prev, c.next = nil, nil, nil
	q.n--
}

func sortCalls(all []*call) {
	slices.SortFunc(all, func(a, b *call) int { return cmp.Compare(a.id, b.id) })
}

// Start makes a call. It enters the log in the order of the Starts and Ends. Its
// outcome comes out of Outcomes.
func (l *Lessee) Start(class Class, body any) Call {
	return l.start(&call{class: class, body: body})
}

// StartHere is Start of a change that is about the present session, and means nothing in
// another: if that is lost before it took effect, or there is none, the outcome is Lost.
func (l *Lessee) StartHere(body any) Call {
	c := &call{class: ClassChange, body: body, here: true}
	if l.live() {
		return l.start(c)
	}
	l.admit(c)
	l.finish(c, Outcome{Verdict: Lost, Reason: l.lost})
	return c.id
}

// StartOn is Start of a change that is about a hold: the Op carries its seq as Target.
// If the hold is lost first, or is not held, the outcome is Lost and nothing was changed.
func (l *Lessee) StartOn(hold Call, body any) Call {
	return l.startOn(&call{class: ClassChange, body: body, on: l.calls[hold]})
}

// StartGive is StartOn of a change that, if it is Done, ends the hold too: the hold is
// Ended just before, without an End. Otherwise the hold stays.
func (l *Lessee) StartGive(hold Call, body any) Call {
	return l.startOn(&call{class: ClassChange, body: body, on: l.calls[hold], gives: true})
}

// StartAwait is Start of a wait that lets go of a hold when it begins to wait, and comes to
// another: Granted, the first hold is Ended just before. Once the first is gone in any other
// way, or may be, or the wait is asked anew, it is a wait like any other with the body again.
// Refused, it may still have the first, which is then to be given to End.
func (l *Lessee) StartAwait(hold Call, body, again any) Call {
	return l.startOn(&call{class: ClassWait, body: body, on: l.calls[hold], gives: true, again: again})
}

func (l *Lessee) startOn(c *call) Call {
	if c.on.holding() && !c.on.ending {
		return l.start(c)
	}
	l.admit(c)
	l.finish(c, c.on.lostOutcome())
	return c.id
}

// Leave ends the session after everything started so far; Outcomes has Ended for the
// returned call when it is over, and before it Lost or Ended for what was still held or
// waiting, Unknown for changes that may have happened. Nothing may be started after it.
func (l *Lessee) Leave() Call {
	c := &call{}
	l.admit(c)
	l.leave = c
	if !l.live() {
		l.settleAll(ReasonClosed)
		return c.id
	}
	l.queue.push(c)
	return c.id
}

// admit gives c its name.
func (l *Lessee) admit(c *call) {
	if l.leave != nil {
		panic("lessee: start after Leave")
	}
	l.last++
	c.id = l.last
	l.calls[c.id] = c
}

func (l *Lessee) start(c *call) Call {
	l.admit(c)
	if l.session.revoked && c.on == nil && !c.here {
		l.parked.push(c)
	} else {
		l.queue.push(c)
	}
	return c.id
}

// End cancels a call that waits or releases what it holds; one not yet sent is
// forgotten. Whatever else was to come for the call is swallowed: exactly one Ended
// (or, for a ClassChange already sent, its own final outcome) follows, once the
// cluster has it or the session is over. A second End does nothing.
//
// Only a revocation by an operator that reached the hold before the End is not
// swallowed: Lost comes before Ended, so that who releases learns of it.
func (l *Lessee) End(id Call) {
	c := l.calls[id]
	switch {
	case c == nil, c.ending, c == l.leave:
	case c.phase == queued, c.phase == lost, c.phase == sent && (c.class == ClassRead || l.unsent(c)):
		l.finish(c, Outcome{Verdict: Ended})
	case c.phase == limbo, l.leave != nil:
		c.ending = true // what settles it, or ends the session, is on its way
	default:
		c.ending = true
		l.queue.push(c)
	}
}

// unsent reports whether c, sent on an earlier stream, is known not to have reached the
// machine, and not to reach it any more, since frames of old epochs are refused.
func (l *Lessee) unsent(c *call) bool {
	return l.stream.state == streamUp && c.seq >= l.stream.nextSeq
}

// finish gives c its final outcome and forgets it.
func (l *Lessee) finish(c *call, o Outcome) {
	if o.Verdict == Done {
		l.given(c)
	}
	l.unlink(c)
	l.release(c)
	delete(l.calls, c.id)
	c.body = nil
	c.phase = over
	o.Call = c.id
	l.out = append(l.out, o)
	l.loseDenied(c.on)
}

// given ends the hold that c has given away, if it is one that gives.
func (l *Lessee) given(c *call) {
	if c.gives && c.on.holding() && !c.on.ending {
		l.finish(c.on, Outcome{Verdict: Ended})
	}
}

// onItsOwn makes of a wait that was to let go of a hold one that has none. If the hold is
// there still it is ended: behind the wait, which then is granted what it frees.
func (l *Lessee) onItsOwn(c *call) {
	hold := c.on
	c.body, c.again, c.on, c.gives = c.again, nil, nil, false
	if hold.holding() {
		l.End(hold.id)
	}
}

// unlink takes c off its list.
func (l *Lessee) unlink(c *call) {
	if c.in != nil {
		c.in.remove(c)
	}
}

// release forgets the seqs that c has in the present session.
func (l *Lessee) release(c *call) {
	if c.phase == held {
		l.session.held--
	}
	if c.phase == held || c.phase == sent {
		delete(l.session.ops, c.seq)
		delete(l.session.ops, c.endSeq) // 0 is never there
	}
	c.seq, c.endSeq = 0, 0
}

// loseHold tells that c's hold is lost. From now on it owes its End and nothing else.
func (l *Lessee) loseHold(c *call, reason Reason) {
	if c.recalled {
		reason = ReasonRevoked
	}
	l.unlink(c)
	l.release(c)
	c.phase, c.reason = lost, reason
	l.out = append(l.out, Outcome{Call: c.id, Verdict: Lost, Reason: reason})
}

// askAnew queues a call that had no effect, in call order before what was never sent. If
// it is about a hold that is gone, that is its outcome.
func (l *Lessee) askAnew(c *call) {
	l.unlink(c)
	l.release(c)
	c.phase = queued
	if c.again != nil {
		l.onItsOwn(c)
	}
	l.loseDenied(c.on)
	if c.on != nil && (!c.on.holding() || c.on.ending) {
		l.finish(c, c.on.lostOutcome())
		return
	}
	l.mixed = l.mixed || l.redo.last != nil && l.redo.last.id > c.id
	l.redo.push(c)
}

func (c *call) holding() bool { return c != nil && c.phase == held }

// loseDenied loses a hold that the server says is over, unless a give is outstanding that
// may be why: its answer follows.
func (l *Lessee) loseDenied(c *call) {
	if c.holding() && c.denied && !c.ending && !l.beingGiven(c) {
		l.loseHoldAlone(c, ReasonEnded)
	}
}

// beingGiven reports whether the server may have ended c's hold by a give.
func (l *Lessee) beingGiven(hold *call) bool {
	// order-free: it asks for any
	for _, c := range l.session.ops {
		if c.gives && c.on == hold && c.phase == sent {
			return true
		}
	}
	return false
}

// lostOutcome is the outcome of a change about c, which is nil or not held.
func (c *call) lostOutcome() Outcome {
	o := Outcome{Verdict: Lost, Reason: ReasonEnded}
	if c != nil && c.reason != 0 {
		o.Reason = c.reason
	}
	return o
}

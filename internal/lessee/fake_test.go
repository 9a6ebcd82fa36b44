package lessee

import (
	"time"

	"pgregory.net/rapid"
)

// A fake is a server in the dumbest way: slices and scans, no index, no cleverness, and
// nothing shared with package machine. Its log is the order in which it is called.
type fake struct {
	t        *rapid.T
	clock    time.Duration // the cluster clock
	ttl      time.Duration
	sessions []*fakeSession
	calls    []*fakeCall // of all sessions, in the order in which they came
	tell     func(epoch uint64, d down)

	seen map[string]int // states worth reaching
}

type fakeSession struct {
	id      uint64
	secret  Secret
	epoch   uint64
	stamp   time.Duration
	last    uint64
	over    bool
	overAt  time.Duration
	byUs    bool // it was over for its client too: expired, left or replaced
	revoked bool
}

type fakeCall struct {
	s    *fakeSession
	seq  uint64
	body *body // nil of an End, a no-op, a Leave
	is   fakeState
	kept Verdict
	gave bool // it is over by a give
}

type fakeState uint8

const (
	isOver fakeState = iota
	isParked
	isHeld
	isKept
)

// A body is what a call asks for. The outcome must bring it back.
type body struct {
	kind    bodyKind
	lock    int
	open    bool // of bodyGated: it may take effect; of bodyGive: somebody waits; of bodyAwait: it is signalled
	effects int  // of changes
	askedIn *fakeSession

	// of bodyAwait
	again   *body // once it is a wait like any other
	full    bool  // it is refused, and lets go of nothing
	letGo   bool  // it has
	unheard bool  // the server said that it is over, as of one whose refusal was lost
}

type bodyKind uint8

const (
	bodyLock    bodyKind = iota // a wait for a lock
	bodyTry                     // the same, refused if it is taken
	bodyRead                    // answered at once, not kept
	bodyChange                  // takes effect at once, kept
	bodyRefused                 // a change that is refused
	bodyGated                   // a change that waits until its gate opens
	bodyOn                      // a change about a hold
	bodyGive                    // one that gives it away
	bodyAwait                   // a wait that lets go of a hold first
)

// A down is a message to the client: one of its parts is set.
type down struct {
	attached *Attached
	answers  []Answer
	over     *ending
	renewed  *renewedAnswer
}

// An ending is that of a session, as a stream or a refused Attach tells it.
type ending struct {
	session uint64
	reason  Reason
}

type renewedAnswer struct {
	lease Lease
	r     Renewal
}

func (f *fake) session(id uint64) *fakeSession {
	for _, s := range f.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (f *fake) call(s *fakeSession, seq uint64) *fakeCall {
	for _, c := range f.calls {
		if c.s == s && c.seq == seq {
			return c
		}
	}
	return nil
}

// advance lets the cluster clock run, and ends what has fallen due.
func (f *fake) advance(d time.Duration) {
	f.clock += d
	for _, s := range f.sessions {
		if !s.over && f.clock >= s.stamp+f.ttl {
			f.end(s, ReasonExpired)
		}
	}
	f.grant()
}

func (f *fake) end(s *fakeSession, reason Reason) {
	s.over, s.overAt, s.byUs = true, f.clock, reason != ReasonRevoked
	for _, c := range f.calls {
		if c.s == s && (c.is == isParked || c.is == isHeld) {
			c.is = isOver
		}
	}
	f.tell(s.epoch, down{over: &ending{s.id, reason}})
}

// grant gives every parked call what it waits for, the eldest first.
func (f *fake) grant() {
	for _, c := range f.calls {
		if c.is != isParked {
			continue
		}
		switch {
		case c.body.kind == bodyLock && !f.taken(c.body.lock):
			f.hold(c)
		case c.body.kind == bodyAwait && c.body.open && !f.taken(c.body.lock):
			f.hold(c)
		case c.body.kind == bodyGated && c.body.open:
			f.change(c)
		}
	}
}

func (f *fake) taken(lock int) bool {
	for _, c := range f.calls {
		if c.is == isHeld && c.body.lock == lock {
			return true
		}
	}
	return false
}

func (f *fake) hold(c *fakeCall) {
	for _, other := range f.calls {
		if other != c && other.body.is(c.body) && (other.is == isHeld || other.is == isParked) {
			f.t.Fatalf("call %d of session %d and call %d of session %d are the same one",
				c.seq, c.s.id, other.seq, other.s.id)
		}
	}
	c.is = isHeld
	f.answer(c, Granted)
}

func (f *fake) change(c *fakeCall) {
	c.is, c.kept = isKept, Done
	if c.body.effects++; c.body.effects > 1 {
		f.t.Fatalf("a change took effect twice")
	}
	f.answer(c, Done)
}

func (f *fake) answer(c *fakeCall, v Verdict) {
	a := Answer{Seq: c.seq, Verdict: v}
	if c.body != nil {
		a.Body = c.body
	}
	f.tell(c.s.epoch, down{answers: []Answer{a}})
}

// attach is SEMANTICS B1.
func (f *fake) attach(a Attach) {
	if a.Session == 0 {
		f.open(a)
		return
	}
	s := f.session(a.Session)
	switch {
	case s == nil || s.secret != a.Secret:
		f.t.Fatalf("attach to session %d, which is not the client's", a.Session)
	case s.over:
		reason := ReasonEnded
		if s.revoked {
			reason = ReasonRevoked
		}
		f.tell(a.Epoch, down{over: &ending{s.id, reason}})
		return
	case a.Epoch <= s.epoch:
		return
	}
	s.epoch = a.Epoch
	f.release(s, a.Wanted)
	f.tell(s.epoch, down{attached: &Attached{Session: s.id, Last: s.last}})
	for seq := uint64(1); seq <= s.last; seq++ {
		if listed(a.Wanted, seq) {
			f.again(f.call(s, seq))
		}
	}
	if s.revoked {
		f.recall(s)
	}
	f.grant()
}

func (f *fake) open(a Attach) {
	at := Attached{}
	if old := f.session(a.Replaces); old != nil {
		if old.secret != a.ReplacesSecret {
			f.t.Fatalf("session %d replaced with a wrong secret", old.id)
		}
		if !old.over {
			f.end(old, ReasonEnded)
		}
		if f.clock > old.overAt+time.Minute {
			f.seen["replaced too late"]++
			at.ReplacedGone = true
		} else {
			at.ReplacedLast = old.last
			at.Replaced = f.left(old, a.Wanted)
		}
	}
	s := &fakeSession{id: uint64(len(f.sessions) + 1), secret: a.Secret, epoch: a.Epoch, stamp: f.clock}
	f.sessions = append(f.sessions, s)
	at.Session = s.id
	f.tell(a.Epoch, down{attached: &at})
	f.grant()
}

func (f *fake) left(s *fakeSession, wanted []Range) (left []Answer) {
	for _, c := range f.calls {
		if c.s != s || !listed(wanted, c.seq) {
			continue
		}
		a := Answer{Seq: c.seq, Verdict: Over, Body: c.body}
		if c.is == isKept {
			f.seen["result kept over a loss"]++
			a.Verdict = c.kept
		}
		left = append(left, a)
	}
	return left
}

func (f *fake) release(s *fakeSession, wanted []Range) {
	for _, c := range f.calls {
		if c.s == s && !listed(wanted, c.seq) {
			c.is = isOver
		}
	}
}

func listed(rs []Range, seq uint64) bool {
	for _, r := range rs {
		if r.First <= seq && seq <= r.Last {
			return true
		}
	}
	return false
}

// frame is SEMANTICS B2. A gap in the frames of one stream is the client's fault.
func (f *fake) frame(session uint64, fr Frame) {
	s := f.session(session)
	if s.over || s.epoch != fr.Epoch {
		f.seen["frame of an old stream"]++
		return
	}
	for _, c := range f.calls {
		if c.s == s && c.is == isKept && listed(fr.Acks, c.seq) {
			c.is = isOver
		}
	}
	for _, op := range fr.Ops {
		switch {
		case s.over: // it left
			return
		case op.Seq > s.last+1:
			f.t.Fatalf("session %d had seq %d last, and is sent %d", s.id, s.last, op.Seq)
		case op.Seq <= s.last:
			f.seen["replay on one stream"]++
			f.again(f.call(s, op.Seq))
		default:
			s.last = op.Seq
			c := &fakeCall{s: s, seq: op.Seq}
			f.calls = append(f.calls, c)
			f.do(c, op)
		}
		f.grant()
	}
}

func (f *fake) again(c *fakeCall) {
	switch c.is {
	case isParked: // it joins the first try
	case isOver:
		if c.gave {
			f.seen["over by a give, before that is heard"]++
		}
		if c.body != nil {
			c.body.unheard = true
		}
		f.answer(c, Over)
	case isHeld:
		f.seen["hold answered again"]++
		f.answer(c, Granted)
	case isKept:
		f.answer(c, c.kept)
	}
}

func (f *fake) do(c *fakeCall, op Op) {
	switch op.Do {
	case DoEnd:
		if target := f.call(c.s, op.Target); target.is != isKept {
			target.is = isOver
		}
		f.answer(c, Done)
	case DoNoop:
		f.seen["noop"]++
		f.answer(c, Done)
	case DoLeave:
		f.answer(c, Done)
		f.end(c.s, ReasonEnded)
	case DoBody:
		c.body, _ = op.Body.(*body)
		switch c.body.askedIn {
		case nil:
		case c.s:
			f.seen["asked anew in its session"]++
		default:
			f.seen["asked anew in the next session"]++
		}
		c.body.askedIn = c.s
		f.doBody(c, op.Target)
	}
}

func (f *fake) doBody(c *fakeCall, target uint64) {
	switch c.body.kind {
	case bodyLock, bodyGated:
		c.is = isParked
	case bodyTry:
		if f.taken(c.body.lock) {
			f.answer(c, Refused)
		} else {
			f.hold(c)
		}
	case bodyRead:
		f.answer(c, Done)
	case bodyChange:
		f.change(c)
	case bodyRefused:
		f.answer(c, Refused)
	case bodyOn:
		if f.call(c.s, target).is == isHeld {
			f.change(c)
		} else {
			f.answer(c, Refused)
		}
	case bodyAwait:
		f.await(c, target)
	case bodyGive:
		hold := f.call(c.s, target)
		if hold.is != isHeld || !c.body.open {
			f.answer(c, Refused)
			return
		}
		hold.is, hold.gave = isOver, true
		f.change(c)
	}
}

// renew is SEMANTICS A2 and A6.
func (f *fake) renew(lease Lease) {
	s := f.session(lease.Session)
	answer := renewedAnswer{lease, Renewed}
	switch {
	case s.over:
		answer.r = RenewalOver
	case s.revoked:
		answer.r = RenewalRevoked
	default:
		s.stamp = f.clock
	}
	f.tell(0, down{renewed: &answer})
}

func (f *fake) recall(s *fakeSession) {
	for _, c := range f.calls {
		if c.s == s && c.is == isHeld {
			f.answer(c, Recalled)
		}
	}
}

func (f *fake) revoke(s *fakeSession, now bool) {
	s.revoked = true
	if now {
		f.end(s, ReasonRevoked)
	} else {
		f.recall(s)
	}
	f.grant()
}

// unlock is coordctl unlock --force, with or without --now.
func (f *fake) unlock(c *fakeCall, now bool) {
	if !now {
		f.answer(c, Recalled)
		return
	}
	c.is, c.kept = isKept, Lost
	f.answer(c, Lost)
	f.grant()
}

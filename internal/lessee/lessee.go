package lessee

import "time"

// A Lessee is a client's session, its calls and its lease. now is always the time
// since some fixed start: the greater of what the wall clock and the monotonic clock
// say has passed (SEMANTICS A4). Its owner serialises all calls.
type Lessee struct {
	cfg    Config
	margin time.Duration
	now    time.Duration // of the latest input that had one; never falls

	last  Call           // the latest given
	calls map[Call]*call // that have no final outcome yet
	out   []Outcome

	queue  list // in the order of the Starts and Ends
	redo   list // to be asked anew, by call
	mixed  bool // redo is out of that order
	parked list // Starts that a revoked session does not carry

	session session
	lost    Reason // of the session before; 0 if there was none
	stream  stream
	old     identity // of the session that the next opening Attach replaces
	limbo   []*call  // changes sent in it, by call

	notBefore time.Duration // of the next opening Attach
	leave     *call         // once Leave was called
	closed    bool          // Leave is over
}

// An identity proves that a session is one's own.
type identity struct {
	id     uint64 // 0: none
	secret Secret
}

// A session is the present one; live if its id is not 0.
type session struct {
	identity
	deadline time.Duration
	credited time.Duration // start of the Attach or Renew that the deadline follows
	tried    time.Duration // start of the latest Renew
	revoked  bool
	held     int              // calls in phase held
	lastSeq  uint64           // the latest given
	ops      map[uint64]*call // by seq and by end: what is outstanding or held
}

// A stream is the one of the latest Connect.
type stream struct {
	epoch    uint64
	state    streamState
	started  time.Duration // when Connect was called
	secret   Secret        // of the session that it may open
	nextSeq  uint64        // to be sent on it
	pendAcks acks
}

type streamState uint8

const (
	streamDown      streamState = iota
	streamOpening               // an Attach that opens a session is unanswered
	streamTaking                // an Attach that takes one up is unanswered
	streamUp                    // answered
	restMax         = time.Second
	marginMin       = 50 * time.Millisecond
	marginPart      = 10 // of a TTL: clock rates within 5%
	renewPart       = 3
	renewAgainPart  = 10
	renewAlongPart  = 12
	acksInOwnFrame  = 1024
	firstFrameAlloc = 8
)

// New returns a Lessee without a session. cfg.EndEarly should be well below the TTL: a
// deadline that is not after its start loses every session at once.
func New(cfg Config) *Lessee {
	return &Lessee{
		cfg:     cfg,
		margin:  max(cfg.TTL/marginPart, marginMin),
		calls:   make(map[Call]*call),
		session: session{ops: make(map[uint64]*call)},
	}
}

// Session is the present session and its deadline: until then, and not at it, its
// holds are surely held. id is 0 if there is none.
func (l *Lessee) Session() (id uint64, deadline time.Duration) {
	return l.session.id, l.session.deadline
}

// Loss is why the latest session that was lost was lost; 0 if none was.
func (l *Lessee) Loss() Reason { return l.lost }

// Margin is how much before the cluster can end it a session is given up here (SEMANTICS
// A4), Config.EndEarly apart.
func (l *Lessee) Margin() time.Duration { return l.margin }

// Outcomes returns and forgets what happened since it was last called, in order.
func (l *Lessee) Outcomes() []Outcome {
	out := l.out
	l.out = nil
	return out
}

// Advance lets time pass: at the deadline the session is lost.
func (l *Lessee) Advance(now time.Duration) { l.advance(now) }

// advance is the first step of every input that has a time, and returns that time made
// monotonic. Whatever the input says, it says it to a lessee that knows its session lost
// if the deadline has passed.
func (l *Lessee) advance(now time.Duration) time.Duration {
	now = max(now, l.now)
	if l.live() && now >= l.session.deadline {
		reason := ReasonExpired
		if due, _ := l.NextDue(); now-max(due, l.now) > l.margin {
			reason = ReasonPaused
		}
		l.lose(now, reason)
	}
	l.now = now
	return now
}

// NextDue is when Renew, Advance or Connect has something to do; ok is false if
// nothing is due until something else happens.
func (l *Lessee) NextDue() (at time.Duration, ok bool) {
	switch {
	case l.live() && l.session.revoked:
		return l.session.deadline, true
	case l.live():
		return min(l.session.deadline, l.renewDue()), true
	case !l.closed && l.stream.state == streamDown && l.now < l.notBefore:
		return l.notBefore, true
	}
	return 0, false
}

// Over takes a definite answer that session is over: refused at Attach or at Renew, or
// by the end of its stream.
func (l *Lessee) Over(now time.Duration, session uint64, reason Reason) {
	now = l.advance(now)
	if l.live() && session == l.session.id {
		l.lose(now, reason)
	}
}

func (l *Lessee) live() bool { return l.session.id != 0 }

// lose ends the present session for good (SEMANTICS A5, B8).
func (l *Lessee) lose(now time.Duration, reason Reason) {
	switch {
	case l.leave != nil:
		reason = ReasonClosed
	case l.session.revoked:
		reason = ReasonRevoked
	case reason == 0:
		reason = ReasonEnded
	}
	l.lost = reason
	if l.settleAll(reason) {
		l.notBefore = now + l.cfg.EndEarly + min(l.margin, restMax)
	}
	l.old = l.session.identity
	clear(l.session.ops)
	l.session = session{ops: l.session.ops}
	l.stream.state = streamDown
}

// settleAll gives every call what the loss of the session leaves it, in call order. It
// reports whether a hold was lost.
func (l *Lessee) settleAll(reason Reason) (anyLost bool) {
	all := make([]*call, 0, len(l.calls))
	// order-free: sorted below
	for _, c := range l.calls {
		all = append(all, c)
	}
	sortCalls(all)
	for _, c := range all {
		anyLost = anyLost || c.phase == held && !c.ending
		l.settle(c, reason)
	}
	if l.leave != nil {
		l.limbo = nil
		l.stream.state = streamDown
		l.closed = true
	}
	return anyLost
}

// settle is settleAll for one call. Calls come in their order.
func (l *Lessee) settle(c *call, reason Reason) {
	switch {
	case c.phase == lost:
		// It owes its End, nothing else.
	case c == l.leave:
		l.finish(c, Outcome{Verdict: Ended}) // the last, since it is the latest call
	case c.phase == held && c.ending:
		l.finish(c, Outcome{Verdict: Ended})
	case c.phase == held:
		l.loseHold(c, reason)
	case c.phase == queued && (c.here || c.on != nil && c.again == nil):
		l.finish(c, Outcome{Verdict: Lost, Reason: reason})
	case c.phase == queued && l.leave != nil, c.class != ClassChange && (c.ending || l.leave != nil):
		l.finish(c, Outcome{Verdict: Ended}) // it had no effect, or left with its session
	case l.leave != nil:
		l.finish(c, Outcome{Verdict: Unknown})
	case c.phase == limbo:
		// It stays, with the seq that it has in the session that is to be replaced.
	case c.phase == sent && c.class == ClassChange:
		l.unlink(c)
		c.phase, c.endSeq = limbo, 0
		l.limbo = append(l.limbo, c)
	case c.phase == sent, c.in == &l.redo:
		l.askAnew(c)
	case c.in == &l.parked:
		l.unlink(c)
		l.queue.push(c)
	}
}

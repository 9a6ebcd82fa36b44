package client

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// farewell is how long Close waits for pending releases to be sent.
const farewell = time.Second

// A courier carries what one lessee says to the cluster and back, and brings it the
// time. It decides nothing. Its goroutines are run (the stream, and its writer) and
// keepTime; close stops them and waits.
type courier struct {
	cfg      config
	conn     *conn
	clock    *clock
	instance uint64 // names this courier to the cluster, at random

	write chan struct{} // has a token when the lessee may have a frame
	due   chan struct{} // has a token when the lessee's NextDue may be another
	wake  chan struct{} // has a token when Connect may say yes

	first    chan error    // takes one: nil when the first session is open, or why never
	draining chan struct{} // closed by Shutdown or Close: nothing new is begun
	gone     chan struct{} // closed when close is through
	parked   sync.Once     // says once that calls of a closed client wait for ever

	stop  context.CancelFunc
	wg    sync.WaitGroup
	fault atomic.Pointer[error] // the latest reason why there is no stream, nil once there is

	mu     sync.Mutex
	lessee *lessee.Lessee
	calls  map[lessee.Call]*call // whatever the lessee still has
	live   *live                 // the present session, or the last one
	cut    func(error)           // ends the present stream; nil if there is none
	held   int                   // holds that are neither lost nor released
	idle   chan struct{}         // closed when held falls to 0; nil if nobody waits
	drain  bool                  // draining is closed
	left   bool                  // Leave was called
	untold []lostSession         // what report is to log
}

// A lostSession is one that ended by itself.
type lostSession struct {
	id  uint64
	why *LostError
}

// A call is what a user waits for: the lessee's name for it, and where its outcome goes.
type call struct {
	id    lessee.Call
	hold  *Hold               // of a wait: what it will be
	wants []*want             // of a wait that chooses: what each arm is for
	give  *Hold               // of a give: what it gives away
	in    *live               // of one that leaves no hold: the session when it had its outcome
	done  chan lessee.Outcome // has room for the one outcome that is waited for
}

// tell never waits: a second outcome is for nobody.
func (c *call) tell(o lessee.Outcome) {
	select {
	case c.done <- o:
	default:
	}
}

// given says that a give has an outcome: what it gave has ended before, if it was given.
func (c *call) given() {
	if c.give != nil {
		c.give.giving.Add(-1)
		c.give = nil
	}
}

// newCourier returns a running courier, unless the conn is closed.
func newCourier(cfg config, c *conn) (*courier, error) {
	ctx, stop := context.WithCancel(context.Background())
	k := &courier{
		cfg:      cfg,
		conn:     c,
		clock:    c.clock,
		instance: mathrand.Uint64() | 1, // not 0, which is none
		write:    make(chan struct{}, 1),
		due:      make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		first:    make(chan error, 1),
		draining: make(chan struct{}),
		gone:     make(chan struct{}),
		stop:     stop,
		lessee:   lessee.New(lessee.Config{TTL: cfg.ttl, EndEarly: cfg.early}),
		calls:    make(map[lessee.Call]*call),
		live:     noLive(),
	}
	if err := c.join(k); err != nil {
		stop()
		return nil, err
	}
	k.wg.Go(func() { k.run(ctx) })
	k.wg.Go(func() { k.keepTime(ctx) })
	return k, nil
}

// open waits for the first session.
func (k *courier) open(ctx context.Context) error {
	select {
	case err := <-k.first:
		return err
	case <-ctx.Done():
		return &dialError{fault: k.outage(), err: ctx.Err(), cause: context.Cause(ctx)}
	}
}

// start gives the lessee a call. Its outcome comes on c.done.
func (k *courier) start(class lessee.Class, body *coordv1.Op, c *call) error {
	k.mu.Lock()
	if k.drain {
		k.mu.Unlock()
		return ErrClientClosed
	}
	c.id = k.lessee.Start(class, body)
	k.calls[c.id] = c
	k.mu.Unlock()
	kick(k.write)
	return nil
}

// end has the lessee end a call. Its outcome, if it has one, comes on c.done.
func (k *courier) end(c *call) {
	k.mu.Lock()
	k.lessee.End(c.id)
	k.after()
	k.mu.Unlock()
	kick(k.write)
}

// release ends a wait, or releases its hold, whatever happens to the caller. It reports
// whether the hold was held until now.
func (k *courier) release(h *Hold) bool {
	k.mu.Lock()
	held := h.release()
	if held {
		k.unhold()
	}
	k.lessee.End(h.call.id)
	k.after()
	k.mu.Unlock()
	kick(k.write)
	return held
}

// after carries out what the last input to the lessee brought. mu is held, and nothing
// here waits: contexts are cancelled, slots that are empty are filled.
func (k *courier) after() {
	old := k.live
	id, deadline := k.lessee.Session()
	if id != 0 && id != old.id {
		k.live = newLive(id, k.clock.now())
	}
	if id != 0 {
		k.live.deadline.Store(int64(deadline))
	}
	for out := k.lessee.Outcomes(); len(out) > 0; out = k.lessee.Outcomes() {
		for _, o := range out {
			k.deliver(o)
		}
	}
	if id != old.id && !old.over() {
		k.ended(old, k.lessee.Loss())
	}
}

// ended ends what depends on a session that is over. mu is held.
func (k *courier) ended(l *live, reason lessee.Reason) {
	why := k.lossOf(l, reason)
	l.end(why)
	if k.cut != nil {
		k.cut(errSessionOver)
	}
	kick(k.due)
	if !k.left {
		k.untold = append(k.untold, lostSession{l.id, why})
	}
}

// report logs what sessions were lost. The logger is the user's: it may call the client, and
// it may block, so only run calls report, which keeps neither leases nor contexts waiting.
func (k *courier) report() {
	k.mu.Lock()
	lost := k.untold
	k.untold = nil
	k.mu.Unlock()
	for _, l := range lost {
		args := []any{"session", string(sessionID(l.id)), "reason", l.why.Reason.String()}
		if l.why.Detail != "" {
			args = append(args, "detail", l.why.Detail)
		}
		k.cfg.network.logger.Warn("session lost", args...)
	}
}

// deliver hands out one outcome. mu is held.
func (k *courier) deliver(o lessee.Outcome) {
	c := k.calls[o.Call]
	if c == nil {
		return
	}
	if c.hold == nil {
		k.conclude(c, o)
		return
	}
	switch o.Verdict {
	case lessee.Granted:
		out, _ := o.Body.(*coordv1.Outcome)
		if i := int(out.GetArm()); i < len(c.wants) {
			c.hold.want = c.wants[i]
		}
		c.hold.id = holdID{k.live.id, out.GetSeq()}
		c.hold.grant(k.live, Token(out.GetToken()), k.clock.now())
		c.given()
		k.held++
		if k.left { // close has been through the holds
			k.lose(c.hold, lessee.ReasonClosed)
		}
		c.tell(o)
	case lessee.Recalled:
		k.lose(c.hold, lessee.ReasonRevoked) // End is the answer, and the user's to give
	case lessee.Lost:
		k.lose(c.hold, o.Reason)
		if o.Reason != lessee.ReasonRevoked {
			k.lessee.End(o.Call)
		}
	default:
		k.conclude(c, o)
	}
}

// conclude takes a call's final outcome: Lost is one too of a change about a hold. mu is
// held.
func (k *courier) conclude(c *call, o lessee.Outcome) {
	delete(k.calls, o.Call)
	c.given()
	if c.hold == nil || c.hold.live == nil {
		c.in = k.live
		c.tell(o)
		return
	}
	if c.hold.release() { // it was given away
		k.unhold()
	}
	c.hold.settle()
}

// lose tells a hold that it is lost. mu is held.
func (k *courier) lose(h *Hold, reason lessee.Reason) {
	if h.spent { // it is a cond's: whoever waits there has let go of it
		if h.release() {
			k.unhold()
		}
		return
	}
	if h.lose(lossReason(reason)) {
		k.unhold()
	}
}

// unhold counts a hold out. mu is held.
func (k *courier) unhold() {
	k.held--
	if k.held == 0 && k.idle != nil {
		close(k.idle)
		k.idle = nil
	}
}

// stopTaking refuses new calls from now on, and ends those that wait.
func (k *courier) stopTaking() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.drain {
		k.drain = true
		close(k.draining)
	}
}

// closed reports whether stopTaking was called.
func (k *courier) closed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.drain
}

// released returns a channel that is closed when nothing is held.
func (k *courier) released() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.idle == nil {
		k.idle = make(chan struct{})
		if k.held == 0 {
			idle := k.idle
			k.idle = nil
			close(idle)
			return idle
		}
	}
	return k.idle
}

// close ends the session and everything of it. It is idempotent.
func (k *courier) close() {
	k.stopTaking()
	k.mu.Lock()
	if k.left {
		k.mu.Unlock()
		<-k.gone
		return
	}
	k.lessee.Advance(k.clock.now()) // what was lost before is not lost by Close
	k.after()
	k.left = true
	leave := &call{done: make(chan lessee.Outcome, 1)}
	leave.id = k.lessee.Leave()
	k.calls[leave.id] = leave
	for _, c := range k.calls {
		if c.hold != nil && c.hold.live != nil {
			k.lose(c.hold, lessee.ReasonClosed)
		}
	}
	if !k.live.over() {
		k.live.end(k.lossOf(k.live, lessee.ReasonClosed)) // its stream goes on, for the farewell
	}
	k.after()
	k.mu.Unlock()
	kick(k.write)

	t := time.NewTimer(farewell)
	defer t.Stop()
	select {
	case <-leave.done:
	case <-t.C:
	}
	k.stop()
	k.wg.Wait()
	k.conn.leave(k)
	close(k.gone)
}

// lossOf is the cause of a session's context when it has ended.
func (k *courier) lossOf(l *live, r lessee.Reason) *LostError {
	end := l.endedAt(k.clock.now())
	reason, detail := lossReason(r)
	return &LostError{Reason: reason, Detail: detail, At: k.clock.at(end), Held: max(0, end-l.since)}
}

// lossReason is the user's reason and detail for the lessee's.
func lossReason(r lessee.Reason) (Reason, string) {
	switch r {
	case lessee.ReasonPaused:
		return ReasonPaused, ""
	case lessee.ReasonRevoked:
		return ReasonRevoked, ""
	case lessee.ReasonClosed:
		return ReasonClosed, ""
	case lessee.ReasonEnded:
		return ReasonExpired, "the cluster has ended the session"
	default:
		return ReasonExpired, ""
	}
}

func newSecret() lessee.Secret {
	var s lessee.Secret
	rand.Read(s[:]) // never fails
	return s
}

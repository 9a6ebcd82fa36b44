package lessee

import "time"

// A Lessee is a client's session, its calls and its lease. now is always the time
// since some fixed start: the greater of what the wall clock and the monotonic clock
// say has passed (SEMANTICS A4). Its owner serialises all calls.
type Lessee struct{ _ int }

// New returns a Lessee without a session.
func New(cfg Config) *Lessee { panic("contract") }

// Start makes a call. It enters the log in the order of the Starts and Ends. Its
// outcome comes out of Outcomes.
func (l *Lessee) Start(class Class, body any) Call { panic("contract") }

// StartOn is Start of a change that is about a hold: the Op carries its seq as Target.
// If the hold is lost first the outcome is Lost.
func (l *Lessee) StartOn(hold Call, body any) Call { panic("contract") }

// End cancels a call that waits or releases what it holds; one not yet sent is
// forgotten. Whatever else was to come for the call is swallowed: exactly one Ended
// (or, for a ClassChange already sent, its own final outcome) follows, once the
// cluster has it or the session is over. A second End does nothing.
func (l *Lessee) End(call Call) { panic("contract") }

// Leave ends the session after everything started so far; Outcomes has Ended for the
// returned call when it is over. Nothing may be started after it.
func (l *Lessee) Leave() Call { panic("contract") }

// Connect begins a stream: the returned Attach is its first frame. ok is false while
// the lessee waits, after a loss, for cancelled work to stop (SEMANTICS A5): try again
// at NextDue. secret is fresh randomness for a session that may be opened.
func (l *Lessee) Connect(now time.Duration, secret Secret) (a Attach, ok bool) {
	panic("contract")
}

// Attached takes the answer to the Attach of epoch; one of another epoch is ignored.
func (l *Lessee) Attached(now time.Duration, epoch uint64, a Attached) { panic("contract") }

// Disconnect says that the stream of epoch is gone.
func (l *Lessee) Disconnect(epoch uint64) { panic("contract") }

// Over takes a definite answer that session is over: refused at Attach or at Renew, or
// by the end of its stream.
func (l *Lessee) Over(now time.Duration, session uint64, reason Reason) { panic("contract") }

// Frame returns what is to be sent on the present stream, at most max ops; ok is false
// if there is nothing. What it returns counts as sent.
func (l *Lessee) Frame(max int) (f Frame, ok bool) { panic("contract") }

// Receive takes answers that came on the stream of epoch, in their order.
func (l *Lessee) Receive(now time.Duration, epoch uint64, answers []Answer) { panic("contract") }

// Renew returns the lease to renew if it is due at now: every TTL/3, and TTL/10 after
// an unanswered try.
func (l *Lessee) Renew(now time.Duration) (Lease, bool) { panic("contract") }

// Renewed takes the answer to the call that carried lease.
func (l *Lessee) Renewed(now time.Duration, lease Lease, r Renewal) { panic("contract") }

// Advance lets time pass: at the deadline the session is lost.
func (l *Lessee) Advance(now time.Duration) { panic("contract") }

// NextDue is when Renew, Advance or Connect has something to do; ok is false if
// nothing is due until something else happens.
func (l *Lessee) NextDue() (at time.Duration, ok bool) { panic("contract") }

// Session is the present session and its deadline: until then, and not at it, its
// holds are surely held. id is 0 if there is none.
func (l *Lessee) Session() (id uint64, deadline time.Duration) { panic("contract") }

// Outcomes returns and forgets what happened since it was last called, in order.
func (l *Lessee) Outcomes() []Outcome { panic("contract") }

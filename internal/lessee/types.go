package lessee

import "time"

// A Call names what a user of the client started. Unlike a seq it outlives sessions
// (SEMANTICS B8). 0 is none.
type Call uint64

// A Class says what may be done with a call whose session is lost.
type Class uint8

const (
	// ClassWait leaves a hold, or nothing: it is issued again in the next session.
	ClassWait Class = iota + 1
	// ClassRead changes nothing: it is issued again.
	ClassRead
	// ClassChange changes something: it is issued again only if the machine says that
	// it never did it; a kept result is returned; else its outcome is Unknown.
	ClassChange
)

// A Verdict is what became of a call.
type Verdict uint8

const (
	// Granted says that the call holds what it asked for, until End or Lost.
	Granted Verdict = iota + 1
	// Done says that it took effect and left no hold. Final.
	Done
	// Refused says that it had no effect; the answer's Body says why. Final.
	Refused
	// Over says that the machine applied it before and no longer knows what came of it;
	// only from the server, resolved by the lessee.
	Over
	// Ended says that the call was given to End, or to the session's Leave, or its hold to
	// somebody else by a give, and it neither waits nor holds any more. Final.
	Ended
	// Recalled says that an operator wants the hold back: treat it as lost, for
	// ReasonRevoked. End is still owed and is the answer. Comes once a hold; a Lost may
	// follow.
	Recalled
	// Lost says that the hold is lost, for Reason. End of it is answered Ended at once.
	Lost
	// Unknown says that the change may or may not have happened. Final.
	Unknown
)

// A Reason says why a session or a hold was lost.
type Reason uint8

// Reasons start at one.
const (
	ReasonExpired Reason = iota + 1 // no renewal acknowledged in time
	ReasonPaused                    // the process or its clock stood still
	ReasonRevoked                   // by an operator
	ReasonClosed                    // by Leave
	ReasonEnded                     // the cluster says that it is over
)

// An Outcome is for the one who started Call. Body is what the server's answer held,
// as it was given to Receive; nil for Ended, Lost and Unknown.
type Outcome struct {
	Call    Call
	Verdict Verdict
	Reason  Reason // of Lost
	Left    bool   // of Done: it is what a session left that is lost
	Body    any
}

// An Answer is what the server said of a seq.
type Answer struct {
	Seq     uint64
	Verdict Verdict // Granted, Done, Refused, Over, Recalled, Lost (revoked), or Ended (in Attached.Replaced)
	Body    any
}

// Config configures a Lessee.
type Config struct {
	TTL time.Duration // of its sessions
	// EndEarly is taken off the deadline besides the margin, for work that needs time
	// to be stopped (coordctl's kill-after).
	EndEarly time.Duration
}

// A Secret proves that a session is one's own.
type Secret [16]byte

// A Range is the seqs from First to Last, both included.
type Range struct{ First, Last uint64 }

// An Attach is the first frame of a stream (SEMANTICS B1).
type Attach struct {
	Session        uint64 // taken up; 0 opens
	Secret         Secret
	Epoch          uint64
	Wanted         []Range
	Replaces       uint64
	ReplacesSecret Secret
}

// An Attached is the answer to an Attach.
type Attached struct {
	Session      uint64
	Last         uint64
	ReplacedLast uint64
	ReplacedGone bool
	Replaced     []Answer
}

// An Op is one call as it is sent.
type Op struct {
	Seq    uint64
	Do     Do
	Target uint64 // the seq that an End, or a body with a target, is about
	Body   any    // of DoBody
}

// A Do is what an Op does.
type Do uint8

// What an Op can do.
const (
	DoBody  Do = iota + 1 // what Start was given
	DoEnd                 // end the call of Target
	DoNoop                // nothing: the call of this seq is no longer wanted
	DoLeave               // end the session
)

// A Frame is what is to be sent on the stream of Epoch.
type Frame struct {
	Epoch uint64
	Acks  []Range
	Ops   []Op
}

// A Renewal is the server's word on one lease.
type Renewal uint8

// The values are the wire's.
const (
	Renewed Renewal = iota + 1
	RenewalOver
	RenewalRevoked
)

// A Lease is what a Renew call carries. Start is when the call began: what is
// credited is the answered call's own start, never a later resend's (SEMANTICS A4).
type Lease struct {
	Session uint64
	Secret  Secret
	Start   time.Duration
}

package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// An Event is something that a session's stream is to be told, or that ends a stream.
// Events come out of Apply in the order in which they must be sent.
type Event struct {
	Type    EventType
	Session park.SessionID

	// Of EventAttached: whose Attach this answers. Of EventCut: only Epoch.
	Instance, Epoch uint64

	// Of EventAttached: the session's and the replaced session's last seq.
	Last, ReplacedLast park.Seq
	ReplacedGone       bool

	// Of EventRefused, EventCut and EventEnded.
	Refusal Refusal
	Wait    int64 // of RefusedRestored: until sessions open, nanoseconds

	Ending Ending // of EventEnded

	// Of EventOutcome.
	Seq         park.Seq
	Request     string // the call's id, in a session without a stream
	Code        park.Code
	Token       park.Token
	Arm         int
	Value       int64
	Data        string // what was received, or is the result
	Waited      string // of a grant that had to wait: the trace of the hold it waited for
	Description *Description
	Entries     *Entries    // of a Load and a Range
	Cycle       []CycleWait // of Deadlock: who waits for whom

	// Of EventAttached: what became of the wanted seqs of the replaced session.
	Replaced []Outcome
}

// An Outcome is what became of a seq of a session that ended: nothing that it holds.
type Outcome struct {
	Seq park.Seq
	session.Kept
}

// An EventType says what an Event is.
type EventType uint8

const (
	// EventAttached answers an Attach: from here on the events of Session belong to
	// the stream of (Instance, Epoch), and to no other.
	EventAttached EventType = iota + 1

	// EventRefused answers an Attach with a refusal in Refusal.
	EventRefused

	// EventOutcome is an outcome of a call.
	EventOutcome

	// EventCut ends the stream of (Session, Epoch): Refusal says why.
	EventCut

	// EventEnded ends a session, and its stream.
	EventEnded
)

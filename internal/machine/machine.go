// Package machine composes the pure rooms into the replicated state machine.
package machine

import (
	"io"

	"coordd.dev/internal/park"
)

// A Machine is the replicated state: sessions, what they hold and wait for, the
// cluster clock. One goroutine owns it.
type Machine struct{ _ int }

// New returns the machine before its Bootstrap.
func New() *Machine { panic("contract") }

// Apply executes an entry: its increment, its renewals, all that has fallen due, then
// its commands in order, each with the grants it causes (SEMANTICS A2). It is total:
// every command in every state has a result. The result of a command is a park.Code,
// a []Renewal for Renew, a SessionList for Sessions, and for Attach and Frame nil: they
// are answered by events.
func (m *Machine) Apply(index uint64, increment int64, commands []Command) ([]any, []Event) {
	panic("contract")
}

// A Renewal is the answer for one session. The values are the wire's.
type Renewal uint8

const (
	Renewed Renewal = iota + 1
	RenewalOver
	RenewalRevoked
)

// A Refusal says why an Attach was refused or a stream is cut.
type Refusal uint8

const (
	RefusedOver     Refusal = iota + 1 // the session has ended, or never was
	RefusedNotYours                    // secret or instance differ
	RefusedOldEpoch                    // a later stream has taken over
	RefusedGap                         // a seq was skipped
	RefusedInvalid                     // TTL, Who, ranges
	RefusedLimit                       // as many sessions as there can be
	RefusedRevoked                     // the session was revoked
)

// SessionList is the answer to Sessions.
type SessionList struct {
	Index    uint64
	Sessions []SessionInfo
}

// SessionInfo is one live session.
type SessionInfo struct {
	ID           park.SessionID
	Who          string
	TTL          int64
	Remaining    int64
	Holds, Waits int64
	Revoked      bool
}

// A Description is an object at one log index.
type Description struct {
	On               park.Object
	Index            uint64
	Holders, Waiters []Party // at most 100 each; waiters in order
	Waiting          int64   // all of them
	Limit, Held      int64   // of a semaphore
}

// A Party holds or waits.
type Party struct {
	Session park.SessionID
	Who     string
	Note    string
	Token   park.Token
	Shared  bool
	N       int64
	For     int64 // nanoseconds of the cluster clock
	Delayed int64 // what remains of its lock-delay; 0 if its session lives
}

// AppendCommand appends the log's encoding of c to b; DecodeCommand is its inverse. What
// DecodeCommand returns shares no memory with its argument.
func AppendCommand(b []byte, c Command) []byte { panic("contract") }

// DecodeCommand decodes a command. An error means that this version does not know it,
// or that it is damaged: the node must stop before it applies it.
func DecodeCommand(b []byte) (Command, error) { panic("contract") }

// Clock is the cluster clock after the last entry.
func (m *Machine) Clock() park.Clock { panic("contract") }

// NextDue is when the next thing falls due; ok is false if nothing will.
func (m *Machine) NextDue() (at park.Clock, ok bool) { panic("contract") }

// Cluster is the cluster's id, "" before Bootstrap.
func (m *Machine) Cluster() string { panic("contract") }

// Lease is what a proposer must know of a live session to check a Renew.
func (m *Machine) Lease(s park.SessionID) (secret Secret, ok bool) { panic("contract") }

// Hash is the running hash of the state.
func (m *Machine) Hash() uint64 { panic("contract") }

// Counts are of live records.
func (m *Machine) Counts() Counts { panic("contract") }

// Counts are of live records.
type Counts struct{ Sessions, Holds, Waiters int64 }

// Waiting is how many waits are parked on an object.
func (m *Machine) Waiting(on park.Object) int64 { panic("contract") }

// Snapshot returns the present state in O(1). It may be written while m goes on.
func (m *Machine) Snapshot() *Snapshot { panic("contract") }

// A Snapshot is a frozen Machine.
type Snapshot struct{ _ int }

// WriteTo writes the snapshot, with a checksum at its end.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) { panic("contract") }

// Restore reads what WriteTo wrote. It verifies everything before it returns.
func Restore(r io.Reader) (*Machine, error) { panic("contract") }

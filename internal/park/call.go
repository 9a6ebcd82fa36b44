package park

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A SessionID names a session: a counter of the machine, never used twice. 0 is none.
type SessionID uint64

// String is sixteen hexadecimal digits, so that no tool rounds it.
func (s SessionID) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// A Seq numbers the calls of a session, from 1 and without a gap (SEMANTICS B2).
type Seq uint64

// An ID names a call: what waits, and then what it holds.
type ID struct {
	Session SessionID
	Seq     Seq
}

// Compare orders calls by session, then seq, so that a session's are a range.
func (a ID) Compare(b ID) int {
	if c := cmp.Compare(a.Session, b.Session); c != 0 {
		return c
	}
	return cmp.Compare(a.Seq, b.Seq)
}

// A Token is a fencing token (SEMANTICS C). 0 is none.
type Token uint64

// A Clock is a time of the cluster clock, in nanoseconds since the cluster began
// (SEMANTICS A1); its differences are durations.
type Clock int64

// A Kind is a kind of object. The values are the wire's; never reorder them.
type Kind uint8

// Mutex and RWMutex are one kind.
const (
	KindLock Kind = iota + 1
	KindSemaphore
	KindElection
	KindWaitGroup
	KindOnce
	KindCond
	KindMap
	KindChan
)

// An Object is a named thing of the cluster.
type Object struct {
	Kind Kind
	Name string
}

// Compare orders objects by kind, then name.
func (a Object) Compare(b Object) int {
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// Next is the first object that can be after a in their order.
func (a Object) Next() Object { return Object{a.Kind, a.Name + "\x00"} }

// MaxName is the longest name of an object, in bytes: a constant of this version of the
// machine, never a flag (SEMANTICS H1).
const MaxName = 256

// ValidName reports whether an object may have that name: 1 to MaxName bytes of UTF-8
// without control characters.
func ValidName(name string) bool {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
		return false
	}
	for _, c := range name {
		if unicode.IsControl(c) {
			return false
		}
	}
	return true
}

// A Code says how a call ended. The values are the wire's; never reorder them.
type Code uint8

// See coord.v1.Code for what each one promises.
const (
	Granted   Code = iota + 1 // holds what it asked for
	Done                      // took effect, left no hold
	Busy                      // was to try only
	Over                      // was applied before, its result is not kept
	Invalid                   // an argument breaks a limit
	Mismatch                  // the object was made otherwise
	Limit                     // the machine has as many as it can
	Full                      // the session has as many calls as it can
	NotFound                  // no such object, session or hold
	TimedOut                  // the wait limit passed
	Recalled                  // not final: an operator wants the hold back
	Revoked                   // taken away by an operator
	Ended                     // the wait died with its session
	Closed                    // the channel is closed: nothing was sent, or nothing more comes
	CutShort                  // the wait group is at zero, and a session ended before its Done
	Deadlock                  // it could never have proceeded
	Forbidden                 // who asks has no right to it
)

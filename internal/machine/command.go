package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/table"
)

// A Command is one of the types below. An entry of the log is a list of them with the
// clock's increment.
type Command interface{ command() }

// Bootstrap begins a cluster, or raises the floor of its tokens (SEMANTICS C1).
type Bootstrap struct {
	Cluster string // the cluster's id; ignored if there is one
	Floor   park.Token
}

// Renew renews leases. The proposer has checked the secrets.
type Renew struct{ Sessions []park.SessionID }

// A Secret proves that a session is one's own.
type Secret = session.Secret

// A Range is the seqs from First to Last, both included.
type Range struct{ First, Last park.Seq }

// Attach opens a session, takes one up on a new stream, or opens one in the place of
// another (SEMANTICS A5, B1).
type Attach struct {
	Session        park.SessionID // taken up; 0 opens
	Secret         Secret
	Instance       uint64
	Epoch          uint64
	Wanted         []Range // of Session, or of Replaces; ascending, disjoint
	TTL            int64   // nanoseconds
	Who            string  // opaque, at most MaxWho bytes
	Replaces       park.SessionID
	ReplacesSecret Secret
}

// A Frame is what one session's stream sent: calls in the order of their seqs.
type Frame struct {
	Session park.SessionID
	Epoch   uint64
	Acked   []Range
	Ops     []Op
}

// Revoke takes a session back (SEMANTICS A6).
type Revoke struct {
	Session park.SessionID
	Now     bool
}

// Sessions reads all live sessions.
type Sessions struct{}

// Open opens a session without a stream (SEMANTICS B6).
type Open struct {
	Secret Secret
	TTL    int64  // nanoseconds
	Who    string // opaque, at most MaxWho bytes
}

// A Call is one call of a session without a stream. Request is its id, at most
// session.MaxRequest bytes: the same id again is a retry. Of DoEnd it is the id of the
// call that is to end.
type Call struct {
	Session park.SessionID
	Secret  Secret
	Request string
	Target  string // the id of the call that an op with a To is about, but for DoEnd
	Op      Op     // Seq and To are the machine's to give
}

// Describe reads an object.
type Describe struct{ On park.Object }

// List reads the objects of a kind, 0 for all, whose names begin with Prefix: at most Max
// of those that are after After.
type List struct {
	Kind   park.Kind
	Prefix string
	After  park.Object
	Max    int64
}

// Read reads a map without a session: Op is a Load or a Range.
type Read struct {
	On park.Object
	Op table.Op
}

func (*Bootstrap) command() {}
func (*Renew) command()     {}
func (*Attach) command()    {}
func (*Frame) command()     {}
func (*Revoke) command()    {}
func (*Sessions) command()  {}
func (*Open) command()      {}
func (*Call) command()      {}
func (*Describe) command()  {}
func (*List) command()      {}
func (*Read) command()      {}

// An Op is one call.
type Op struct {
	Seq   park.Seq
	Do    Do
	Wait  Wait           // of DoWait and DoAwait
	To    park.Seq       // the call whose wait or hold the op is about
	N     int64          // a number that the op is with
	On    park.Object    // the object that the op is about, if it is not a hold's
	Value string         // of DoProclaim; the result of DoComplete
	Codec string         // of DoClose
	Heir  park.SessionID // of DoTransfer
	Table *table.Op      // of DoTable
}

// A Do is what an Op does. The values are the log's; never reorder them.
type Do uint8

// The ops of this version.
const (
	DoWait    Do = iota + 1
	DoEnd        // the wait or the hold of To
	DoRelease    // N permits of what To holds
	DoResize     // the semaphore On to N
	DoDescribe
	DoNoop
	DoLeave
	DoProclaim
	DoTransfer
	DoAdd      // N to the wait group On
	DoComplete // the once that To runs, with the result Value; N says how it ended
	DoAck      // the element that To has
	DoClose    // the channel On, of capacity N
	DoAwait    // let go of the lock that To holds, and Wait for a cond
	DoSignal   // to N waiters of the cond On
	DoTable    // upon the map On
	DoDelete   // On
	DoRefuse   // nothing: what stood under this seq was beyond a limit of N, or without N the client has no right to it
)

// A Wait acquires (SEMANTICS D).
type Wait struct {
	Arms   []park.Arm
	Commit park.Commit
	Try    bool
	Prio   int32
	Delay  int64 // lock-delay, nanoseconds
	Limit  int64 // on the wait, nanoseconds; 0 is none
	Note   string
	Trace  string // opaque, at most MaxTrace bytes: the span of the hold

	Lineage *park.Lineage // the holds that its context names; nil is none
}

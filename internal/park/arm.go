package park

// A Commit says how many of a waiter's arms are to be had. The values are the wire's.
type Commit uint8

const (
	Any   Commit = iota + 1 // one; a fair one of several that are ready
	First                   // one; the first given of several that are ready
	Every                   // all, in one step
)

// A Side is one of an object's queues. Most objects have one queue, where everybody stands.
type Side uint8

const (
	Alone Side = iota // the only queue
	Send              // who sends
	Recv              // who receives; of a once, who waits for its result only
)

// AnyCapacity is the Limit of an arm that takes a channel as it was made.
const AnyCapacity = -1

// An Arm is one thing that a waiter waits for, and then holds or has done.
type Arm struct {
	On     Object
	Side   Side
	Shared bool   // a read lock
	Ack    bool   // a receive whose element is held until it is acknowledged
	N      int64  // permits; 1 of everything else
	Limit  int64  // of a semaphore, as the caller has it; 0 takes what is stored. A channel's capacity
	Value  string // a candidate's, and then a leader's; the element that is sent; a cond's lock
	Codec  string // of a channel's elements
}

// ValueBytes is how long the values of arms are together.
func ValueBytes(arms []Arm) (n int64) {
	for i := range arms {
		n += int64(len(arms[i].Value))
	}
	return n
}

// A Verdict says whether an arm can proceed, if nobody stands ahead of it.
type Verdict uint8

const (
	No   Verdict = iota + 1
	Yes          // by itself
	Meet         // only together with who waits first on the other side
)

// A Result is what an arm got when it was committed.
type Result struct {
	Code  Code   // Granted: a hold. Done: an effect, without a hold. Else a refusal, without one
	Value int64  // of a delivery which attempt it is, of a Once how its function ended
	Data  string // the element that was received, the result of a Once
}

// Traits are what an object is, besides who holds it and who waits for it.
type Traits struct {
	Limit   int64  // of a semaphore, in force; a channel's capacity
	Held    int64  // permits; elements buffered or unacknowledged; what a wait group counts; entries of a map
	Unacked int64  // elements that are held until they are acknowledged
	Bytes   int64  // of elements, of entries, of a result
	Codec   string // of elements, of values
	State   State
}

// A State is one that an object stays in. The values are the wire's.
type State uint8

const (
	ChannelClosed State = iota + 1 // nothing more is sent
	OnceDone                       // its function has returned
	OncePanicked                   // likewise, by a panic
	GroupCut                       // a session ended before its Done
)

// CodecDiffers is the value of a Mismatch that is about the codec.
const CodecDiffers = -2

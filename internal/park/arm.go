package park

// A Commit says how many of a waiter's arms are to be had. The values are the wire's.
type Commit uint8

const (
	Any   Commit = iota + 1 // one; a fair one of several that are ready
	First                   // one; the first given of several that are ready
	Every                   // all, in one step
)

// An Arm is one thing that a waiter waits for, and then holds.
type Arm struct {
	On     Object
	Shared bool   // a read lock
	N      int64  // permits; 1 for a lock
	Limit  int64  // of a semaphore, as the caller has it; 0 takes what is stored
	Value  string // of a candidate, and then of a leader
}

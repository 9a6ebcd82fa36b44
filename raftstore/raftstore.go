package raftstore

import (
	"context"
	"errors"
	"io"
	"time"
)

var (
	// ErrNotLeader says that a proposal was not and will not be committed: this node
	// does not lead.
	ErrNotLeader = errors.New("not the leader")

	// ErrUnknown says that a proposal may or may not be committed, now or later.
	ErrUnknown = errors.New("outcome unknown")

	// ErrOverloaded says that more bytes wait to be committed than may; nothing was
	// written. Try again later.
	ErrOverloaded = errors.New("too many uncommitted bytes")

	// ErrNoVoter says that there is no such node, or that it has no vote.
	ErrNoVoter = errors.New("no voter of the cluster")

	// ErrClosed says that the log was closed before the proposal was written.
	ErrClosed = errors.New("log closed")
)

// An Entry is one entry of the log: a batch of commands, and the time that passed on
// the leader's monotonic clock since it proposed its previous entry of the same term;
// 0 for the first of a term (SEMANTICS A1).
type Entry struct {
	// Term is the term in which it was proposed. An entry that lands in another is
	// passed over by every node alike: its increment would count an interval twice.
	Term      uint64
	Increment time.Duration
	Commands  [][]byte
}

// A Machine is what the log drives. The engine calls Apply, Snapshot and Restore from
// one goroutine at a time, entries in log order, each exactly once between restores.
type Machine interface {
	// Apply executes an entry and returns one result a command. An error means that
	// the entry cannot be understood, and that this node must stop before it harms
	// anything; the machine is unchanged.
	Apply(index uint64, e Entry) (results []any, err error)

	// Snapshot returns the present state in O(1); Apply goes on while it is written.
	Snapshot() Snapshot

	// Restore replaces the state by what a Snapshot wrote, or leaves it alone and
	// returns an error. It verifies before it replaces.
	Restore(r io.Reader) error
}

// A Snapshot is a state of the machine. Persist may run while the machine goes on.
type Snapshot interface {
	Persist(w io.Writer) error
}

// An Engine is a replicated log of opaque entries: what differs between hashicorp/raft
// and etcd. Every method may be called by several goroutines.
type Engine interface {
	// Append replicates data as one entry and returns once this node has applied it,
	// with what Machine.Apply returned; data is the envelope of an Entry
	// (AppendEntry), which the engine keeps. The error is ErrNotLeader if the entry is
	// not and never will be applied, else ErrUnknown; both may wrap a cause. It
	// returns, with ErrUnknown, when ctx ends.
	Append(ctx context.Context, data []byte) (index uint64, results []any, err error)

	// State is the latest state and a channel that is closed when there is a newer.
	State() (State, <-chan struct{})

	// Members is the configuration.
	Members() []Member

	// SetMember adds a node to the configuration, or gives one of it another address or a
	// vote; it takes no vote away. RemoveMember removes one, if it is there. Both return
	// once that is committed. Only the leader can: the errors are Append's. To ask again
	// is harmless.
	SetMember(ctx context.Context, m Member) error
	RemoveMember(ctx context.Context, id string) error

	// Snapshot takes a snapshot now and truncates the log behind it.
	Snapshot(ctx context.Context) error

	// Transfer hands leadership to a voter, to any if id is empty, if this node has it.
	Transfer(ctx context.Context, id string) error

	// Name is "raft" or "etcd".
	Name() string

	// Failed is closed when the engine can no longer run (a disk that fails, an entry
	// that cannot be applied); Err then says why. The process should exit.
	Failed() <-chan struct{}
	Err() error

	// Close stops the engine and waits for its goroutines.
	Close() error
}

// A State is what an engine knows of leadership.
type State struct {
	Term     uint64
	Leader   bool   // this node won the term; it may not have applied all before it
	LeaderID string // empty: none known
	// CaughtUp is false until this node has applied what was committed when it
	// started: it may not serve before.
	CaughtUp bool
}

// A Member is a node of the configuration.
type Member struct {
	ID      string
	Address string // of its peer port
	Voter   bool
}

package server

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/telemetry"
	"coordd.dev/raftstore"
)

// A Replica is this node's copy of the machine. The log drives it, from one goroutine;
// everybody else may read.
type Replica struct {
	hub     *hub
	journal *journal

	// wake has a token when the run loop should look again: something falls due
	// earlier than it was told, or the cluster became known.
	wake chan struct{}
	// founded is closed when the machine first has a cluster id.
	founded chan struct{}

	// commands is the one entry that is being applied; kept for its memory, and only
	// the log's goroutine uses it.
	commands []machine.Command

	// telemetry is set once the node has caught up with the log: what it applies before
	// that happened long ago, and was counted then.
	telemetry atomic.Pointer[telemetry.Server]

	// state is of the last entry. Whoever can do with that asks it, and not the machine:
	// to be told whether a node leads must not take longer because much is applied.
	state atomic.Pointer[State]

	mu      sync.Mutex
	machine *machine.Machine // only Apply and Restore change it
	applied time.Time        // when that was, here
	told    park.Clock       // what nextDue last returned: wake if something is due before
	changed chan struct{}    // closed at the next entry; nil while nobody waits for one
	notes   []Note           // state hashes that are to be compared, the latest
	verdict *machine.Verdict // how that went, until the run loop has seen it
}

// NewReplica returns a replica of nothing yet.
func NewReplica() *Replica {
	r := &Replica{
		hub:     newHub(),
		journal: newJournal(maxKept, maxTexts),
		wake:    make(chan struct{}, 1),
		founded: make(chan struct{}),
		machine: machine.New(),
		told:    math.MinInt64,
	}
	r.state.Store(&State{})
	return r
}

// Apply implements [raftstore.Machine]. It decodes every command before it applies any.
func (r *Replica) Apply(index uint64, e raftstore.Entry) ([]any, error) {
	commands := r.commands[:0]
	for i, data := range e.Commands {
		c, err := machine.DecodeCommand(data)
		if err != nil {
			return nil, fmt.Errorf("decode command %d of entry %d: %w", i, index, err)
		}
		commands = append(commands, c)
	}
	began := time.Now()
	results, events, changes := r.apply(index, e.Increment, commands)
	for _, result := range results {
		if restored, ok := result.(machine.Restored); ok && restored.Replaced {
			r.journal.reset(restored.Revision) // changes are those since
		}
	}
	r.journal.append(changes, began)
	r.hub.dispatch(events)
	if t := r.telemetry.Load(); t != nil {
		record(t, index, began, commands, events, changes)
	}
	clear(commands)
	r.commands = commands[:0]
	return results, nil
}

func (r *Replica) apply(index uint64, increment time.Duration, commands []machine.Command) ([]any, []machine.Event, []machine.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	results, events := r.machine.Apply(index, int64(increment), commands)
	r.mark(commands)
	r.publish()
	return results, events, r.machine.Changes()
}

// publish tells those who wait that the state is another one. mu is held.
func (r *Replica) publish() {
	r.applied = time.Now()
	before := r.state.Swap(&State{
		Index:   r.machine.Index(),
		Hash:    r.machine.Hash(),
		Clock:   r.machine.Clock(),
		Cluster: r.machine.Cluster(),
		Version: r.machine.Version(),
		Counts:  r.machine.Counts(),

		Restored: r.machine.Restored(),
	})
	if !before.Restored && r.machine.Restored() {
		r.poke() // the node may be used now
	}
	if before.Cluster == "" && r.machine.Cluster() != "" {
		close(r.founded)
		r.poke()
	}
	if due, ok := r.machine.NextDue(); ok && due < r.told {
		r.told = math.MinInt64 // once
		r.poke()
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func (r *Replica) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// nextDue is when the next thing falls due by the local clock, at which real time goes on
// where the last entry left the cluster's. From now on wake is told of an earlier one.
func (r *Replica) nextDue() (at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	due, ok := r.machine.NextDue()
	if !ok {
		r.told = math.MaxInt64
		return time.Time{}, false
	}
	r.told = due
	return r.applied.Add(time.Duration(due - r.machine.Clock())), true
}

// awaitApply has wake told of the next entry after which something is due at all.
func (r *Replica) awaitApply() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = math.MaxInt64
}

// Snapshot implements [raftstore.Machine].
func (r *Replica) Snapshot() raftstore.Snapshot { return frozen{r.freeze()} }

// freeze is the state as it is.
func (r *Replica) freeze() *machine.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Snapshot()
}

// frozen makes a machine's snapshot a raftstore's.
type frozen struct{ *machine.Snapshot }

func (f frozen) Persist(w io.Writer) error {
	if _, err := f.WriteTo(w); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// Restore implements [raftstore.Machine]. The streams and callers of this node
// missed what lies between the old state and the new one, so they are cut (SEMANTICS B5).
func (r *Replica) Restore(from io.Reader) error {
	m, err := machine.Restore(from)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	r.mu.Lock()
	r.machine = m
	r.publish()
	r.mu.Unlock()
	r.journal.reset(m.Revision())
	r.hub.tally.reset()
	r.hub.cutAll(func() error { return errNoLeader("stream", "") })
	r.hub.release(0, func() error { return errAskAgain("call", "this node fell behind") })
	return nil
}

// A State is what a replica knows at one log index.
type State struct {
	Index   uint64 // of the last entry; 0 before the first
	Hash    uint64
	Clock   park.Clock
	Cluster string // "" before the cluster is founded
	Version uint64 // of the machine, that the cluster uses
	Counts  machine.Counts

	Restored bool // a backup was restored into the cluster
}

// State is of one instant, so that hashes of several nodes can be compared by index.
// It waits for nobody.
func (r *Replica) State() State { return *r.state.Load() }

// Index is State's.
func (r *Replica) Index() uint64 { return r.State().Index }

// Hash is State's.
func (r *Replica) Hash() uint64 { return r.State().Hash }

// AwaitWaiters returns when at least n waits are parked on the object here, or ctx ends.
func (r *Replica) AwaitWaiters(ctx context.Context, on park.Object, n int) error {
	for {
		enough, changed := r.waiting(on, n)
		if enough {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("await %d waiters on %q: %w", n, on.Name, context.Cause(ctx))
		}
	}
}

// waiting says whether n wait, and if not when to ask again.
func (r *Replica) waiting(on park.Object, n int) (bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.machine.Waiting(on) >= int64(n) {
		return true, nil
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return false, r.changed
}

// awaitVersion returns once the cluster may use a version of the machine, or ctx ends: what it
// may use then.
func (r *Replica) awaitVersion(ctx context.Context, version uint64) uint64 {
	for {
		r.mu.Lock()
		now := r.machine.Version()
		if now < version && r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		if now >= version {
			return now
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now
		}
	}
}

// describe reads an object as it is here.
func (r *Replica) describe(on park.Object) *machine.Description {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Describe(on)
}

// traits are what an object is here.
func (r *Replica) traits(on park.Object) park.Traits {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Traits(on)
}

// read reads a map as it is here.
func (r *Replica) read(c *machine.Read) machine.ReadResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Read(c)
}

// ended is when a change happened, by the local clock and at the latest. A node that has
// started again applied its log later than that; then the cluster's clock knows better,
// which does not count the time without a leader.
func (r *Replica) ended(c *keptChange) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.applied.Add(-time.Duration(r.machine.Clock() - c.Clock))
	if c.at.Before(at) {
		return c.at
	}
	return at
}

// clusterID is "" until the cluster is founded.
func (r *Replica) clusterID() string { return r.state.Load().Cluster }

// leases calls f with what is needed to check the renewals of sessions, all of one instant.
func (r *Replica) leases(f func(of func(park.SessionID) (secret machine.Secret, ttl int64, ok bool))) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.machine.Lease)
}

package hraft

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
)

// Config configures an Engine. Zero values are the defaults.
type Config struct {
	// LocalID is this node's id, for ever: a directory that was wiped needs another.
	LocalID string
	Machine raftstore.Machine

	// Transport is NewTransport's, or another that can ask for pre-votes. Open takes it
	// over: it is closed by Close, and by an Open that fails.
	Transport raft.Transport

	// The stores are OpenDisk's, or others. Close leaves them open.
	LogStore      raft.LogStore
	StableStore   raft.StableStore
	SnapshotStore raft.SnapshotStore

	// Bootstrap is the first configuration of the cluster, the same on every node. It is
	// ignored if there is state.
	Bootstrap []raftstore.Member

	Logger *slog.Logger // default: none

	// A follower that hears nothing for HeartbeatTimeout (300 ms) asks for votes, and
	// again after ElectionTimeout (300 ms). A leader that does not reach a majority
	// for LeaseTimeout (200 ms) steps down. The defaults are for a LAN. It must be that
	// ElectionTimeout >= HeartbeatTimeout >= LeaseTimeout.
	HeartbeatTimeout time.Duration
	ElectionTimeout  time.Duration
	LeaseTimeout     time.Duration

	// CommitTimeout (20 ms) is how late an idle follower learns, at the most twice
	// that, that its last entry is committed: nobody waits for it but stale reads. It
	// is also the pace of an idle leader; half of it costs three nodes 1.5% of a core.
	CommitTimeout time.Duration

	// StallLimit (2 s) is how long one write of the log or of the stable store may take.
	// After it the node has failed: a leader whose disk hangs keeps its leadership.
	StallLimit time.Duration

	// A snapshot is taken once the log has grown by SnapshotEntries (16,384; looked at
	// every SnapshotInterval, 30 s, or up to twice that) or SnapshotBytes (128 MiB;
	// looked at after every entry). TrailingEntries (4,096) stay in the log behind it,
	// for followers that are a little behind.
	SnapshotEntries  uint64
	SnapshotBytes    int64
	SnapshotInterval time.Duration
	TrailingEntries  uint64
}

// withDefaults returns c with zero values replaced.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.HeartbeatTimeout, 300*time.Millisecond)
	orDefault(&c.ElectionTimeout, 300*time.Millisecond)
	orDefault(&c.LeaseTimeout, 200*time.Millisecond)
	orDefault(&c.CommitTimeout, 20*time.Millisecond)
	orDefault(&c.StallLimit, 2*time.Second)
	orDefault(&c.SnapshotEntries, 16<<10)
	orDefault(&c.SnapshotBytes, 128<<20)
	orDefault(&c.SnapshotInterval, 30*time.Second)
	orDefault(&c.TrailingEntries, 4<<10)
	return c
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// validate joins all that is wrong with c.
func (c Config) validate() error {
	var errs []error
	missing := func(is bool, name string) {
		if is {
			errs = append(errs, fmt.Errorf("%s is missing", name))
		}
	}
	missing(c.LocalID == "", "LocalID")
	missing(c.Machine == nil, "Machine")
	missing(c.Transport == nil, "Transport")
	missing(c.LogStore == nil, "LogStore")
	missing(c.StableStore == nil, "StableStore")
	missing(c.SnapshotStore == nil, "SnapshotStore")
	if c.StallLimit < stallSteps {
		errs = append(errs, fmt.Errorf("StallLimit of %v", c.StallLimit))
	}
	if _, ok := c.Transport.(raft.WithPreVote); c.Transport != nil && !ok {
		errs = append(errs, errors.New("Transport cannot ask for pre-votes"))
	}
	if err := raft.ValidateConfig(c.raft()); c.LocalID != "" && err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// maxAppendEntries bounds what one message to a follower carries. There is a batch of
// commands in each entry, so it need not be large.
const maxAppendEntries = 64

// raft is the library's configuration.
func (c Config) raft() *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.LocalID)
	r.HeartbeatTimeout = c.HeartbeatTimeout
	r.ElectionTimeout = c.ElectionTimeout
	r.LeaderLeaseTimeout = c.LeaseTimeout
	r.CommitTimeout = c.CommitTimeout
	r.MaxAppendEntries = maxAppendEntries
	r.BatchApplyCh = true // an append that gave up must not hold up the next
	r.SnapshotThreshold = c.SnapshotEntries
	r.SnapshotInterval = c.SnapshotInterval
	r.TrailingLogs = c.TrailingEntries
	r.ShutdownOnRemove = false // the process decides what to do when it is removed
	r.NoLegacyTelemetry = true
	r.Logger = newHCLog(c.Logger)
	return r
}

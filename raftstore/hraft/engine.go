package hraft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/internal/latest"
)

const (
	// enqueueTimeout bounds the wait for raft's goroutine to take an entry.
	enqueueTimeout = time.Second

	// closeGrace is how long Close waits for entries in flight: a leader that reaches
	// nobody steps down within its lease, and then answers them.
	closeGrace = 2 * time.Second
)

var (
	errClosed = errors.New("engine closed")
	errStale  = errors.New("a snapshot took the place of a log that went beyond it: start the node again, nothing is lost")
)

// An Engine is one node of a cluster. It implements raftstore.Engine.
type Engine struct {
	cfg      Config
	raft     *raft.Raft
	fsm      *fsm
	guard    *guard
	state    *latest.Value[raftstore.State]
	failure  *failure
	catching *catching
	stuck    stuck

	observed    chan raft.Observation // of one: look again
	moved       chan struct{}         // of one: look again, until caught up
	snapshotDue chan struct{}         // of one: SnapshotBytes were written
	grown       atomic.Int64          // bytes applied since the last snapshot

	cancel     context.CancelFunc // stops the goroutines of background
	background sync.WaitGroup
	shutdown   func() raft.Future // of raft, which tells only the first caller its end

	closing sync.Once
	hurry   chan struct{} // closed by Close

	mu       sync.Mutex
	refusing bool          // no more calls of raft
	pending  int           // calls that have not been answered
	drained  chan struct{} // closed when there are none, once refusing
}

var _ raftstore.Engine = (*Engine)(nil)

// Open starts a node. It returns once what is on disk is loaded, not when there is a
// leader.
func Open(cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("open raft: %w", err)
	}
	e := &Engine{
		cfg:         cfg,
		state:       latest.New(raftstore.State{}),
		failure:     newFailure(),
		catching:    new(catching),
		observed:    make(chan raft.Observation, 1),
		moved:       make(chan struct{}, 1),
		snapshotDue: make(chan struct{}, 1),
		hurry:       make(chan struct{}),
		drained:     make(chan struct{}),
	}
	e.fsm = &fsm{machine: cfg.Machine, failure: e.failure, moved: e.applied, hurry: e.hurry}
	if err := e.start(); err != nil {
		return nil, fmt.Errorf("open raft: %w", err)
	}
	e.raft.RegisterObserver(raft.NewObserver(e.observed, false, ofLeadership))
	e.shutdown = sync.OnceValue(e.raft.Shutdown)
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.background.Go(func() { e.watch(ctx) })
	e.background.Go(func() { e.snapshots(ctx) })
	return e, nil
}

// start starts raft on the guarded stores.
func (e *Engine) start() (err error) {
	defer func() {
		if err != nil {
			_ = closeTransport(e.cfg.Transport) // the error that matters is err
		}
	}()
	cached, err := newCachedLog(e.cfg.LogStore, cacheEntries, cacheBytes)
	if err != nil {
		return err
	}
	log := sealedLog{cached}
	if err := bootstrap(e.cfg, log); err != nil {
		return err
	}
	unread := newFailure() // why a snapshot could not be: raft, at its start, only says that none could
	e.fsm.unread = unread.report
	snapshots := placedStore{e.cfg.SnapshotStore, func(err error) {
		unread.report(err)
		signal(e.snapshotDue) // a leader that cannot send it may make another
	}}
	if err := clearStale(log, snapshots); err != nil {
		return err
	}
	e.guard = newGuard(e.cfg.Transport, e.heard)
	w := writes{e.failure, e.cfg.StallLimit}
	if err := e.startRaft(stopLog{log, w}, stopStable{e.cfg.StableStore, w}, snapshots); err != nil {
		if why := unread.get(); why != nil {
			err = fmt.Errorf("%w: %w", err, why)
		}
		return err
	}
	e.guard.serve(state{log, snapshots, e.raft.AppliedIndex, e.raft.LastIndex}, func() { e.failure.report(errStale) })
	return nil
}

// startRaft starts raft on a goroutine of its own: the stores end the one that meets an
// error, and raft panics over a log with a gap.
func (e *Engine) startRaft(logs raft.LogStore, stable raft.StableStore, snapshots raft.SnapshotStore) (err error) {
	var started sync.WaitGroup
	started.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("start: %v", r)
			}
		}()
		e.raft, err = raft.NewRaft(e.cfg.raft(), e.fsm, logs, stable, snapshots, e.guard)
	})
	started.Wait()
	if e.raft == nil && err == nil {
		err = e.failure.get()
	}
	return err
}

// Name is part of raftstore.Engine.
func (e *Engine) Name() string { return "raft" }

// Append is part of raftstore.Engine.
func (e *Engine) Append(ctx context.Context, data []byte) (uint64, []any, error) {
	var future raft.ApplyFuture
	err := e.await(ctx, func() raft.Future {
		future = e.raft.Apply(data, enqueueTimeout)
		return future
	})
	if stuck := e.stuck.note(err); stuck != nil {
		e.failure.report(stuck)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("append: %w", err)
	}
	out, ok := future.Response().(outcome)
	switch {
	case !ok:
		return 0, nil, fmt.Errorf("append: %w: no outcome", raftstore.ErrUnknown)
	case errors.Is(out.err, errOtherTerm):
		return 0, nil, fmt.Errorf("append: %w: %w", raftstore.ErrNotLeader, out.err)
	case out.err != nil:
		return 0, nil, fmt.Errorf("append: %w: %w", raftstore.ErrUnknown, out.err)
	}
	return future.Index(), out.results, nil
}

// Snapshot is part of raftstore.Engine. Config.TrailingEntries stay in the log.
func (e *Engine) Snapshot(ctx context.Context) error {
	err := e.await(ctx, func() raft.Future {
		// Already the call blocks while another snapshot is taken.
		return lazy(func() error { return e.raft.Snapshot().Error() })
	})
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("take snapshot: %w", err)
	}
	return nil
}

// await makes a call of raft and waits for its answer, but no longer than ctx, or this
// node, lasts: some futures never come.
func (e *Engine) await(ctx context.Context, call func() raft.Future) error {
	if err := e.begin(); err != nil {
		return err
	}
	var err error
	answered := make(chan struct{})
	future := call()
	go func() { // Close waits for it, see begin
		defer e.end()
		err = future.Error()
		close(answered)
	}()
	select {
	case <-answered:
		return translate(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", raftstore.ErrUnknown, context.Cause(ctx))
	case <-e.failure.failed:
		return fmt.Errorf("%w: %w", raftstore.ErrUnknown, e.failure.get())
	}
}

// A lazy is a future that is called for when it is waited for.
type lazy func() error

func (l lazy) Error() error { return l() }

// translate says which errors of raft are certain (RELIABILITY 3.6).
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader),
		errors.Is(err, raft.ErrEnqueueTimeout),
		errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", raftstore.ErrNotLeader, err)
	}
	return fmt.Errorf("%w: %w", raftstore.ErrUnknown, err)
}

// begin counts a call of raft, unless the engine is closing: raft forgets what is
// queued when it shuts down, and whoever waits for it would wait for ever.
func (e *Engine) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refusing {
		return fmt.Errorf("%w: %w", raftstore.ErrNotLeader, errClosed)
	}
	e.pending++
	return nil
}

func (e *Engine) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pending--
	if e.refusing && e.pending == 0 {
		close(e.drained)
	}
}

// State is part of raftstore.Engine.
func (e *Engine) State() (raftstore.State, <-chan struct{}) { return e.state.Get() }

// Failed is part of raftstore.Engine.
func (e *Engine) Failed() <-chan struct{} { return e.failure.failed }

// Err is part of raftstore.Engine.
func (e *Engine) Err() error { return e.failure.get() }

// Close is part of raftstore.Engine. The stores are still open after it.
func (e *Engine) Close() error {
	var err error
	e.closing.Do(func() { err = e.close() })
	if err != nil {
		return fmt.Errorf("close raft: %w", err)
	}
	return nil
}

func (e *Engine) close() error {
	close(e.hurry)
	e.drain()
	// The connections first: raft waits for its calls of peers, which wait for those.
	shutdown := e.shutdown()
	err := e.guard.Close()
	err = errors.Join(err, shutdown.Error())
	e.cancel()
	e.background.Wait()
	return err
}

// drain refuses further calls and waits until raft owes no answer.
func (e *Engine) drain() {
	e.mu.Lock()
	if !e.refusing {
		e.refusing = true
		if e.pending == 0 {
			close(e.drained)
		}
	}
	e.mu.Unlock()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-e.drained:
	case <-grace.C:
	}
}

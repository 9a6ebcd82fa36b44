package raftstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"coordd.dev/internal/telemetry"
	"coordd.dev/raftstore/internal/latest"
)

// Config configures a Log. Its zero values are the defaults.
type Config struct {
	// MaxEntryBytes bounds one entry; a single larger command has one to itself.
	// Default 512 KiB.
	MaxEntryBytes int

	// MaxUncommittedBytes bounds what waits and is in flight; default 64 MiB.
	MaxUncommittedBytes int

	// AppendTimeout bounds one entry, after which its outcome is unknown and this
	// leadership is over; default 10 s.
	AppendTimeout time.Duration

	// TracerProvider and MeterProvider default to OpenTelemetry's global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

func (c Config) withDefaults() Config {
	if c.MaxEntryBytes <= 0 {
		c.MaxEntryBytes = 512 << 10
	}
	if c.MaxUncommittedBytes <= 0 {
		c.MaxUncommittedBytes = 64 << 20
	}
	if c.AppendTimeout <= 0 {
		c.AppendTimeout = 10 * time.Second
	}
	return c
}

// A Log is group commit over an Engine: while one entry is in flight, every command
// that arrives joins the next one. It is the only one that proposes.
type Log struct {
	engine     Engine
	cfg        Config
	telemetry  *telemetry.Log
	leadership *latest.Value[Leadership]
	waiters    sync.Pool     // of *waiter
	wake       chan struct{} // of one: there is work for a goroutine that was asleep
	cancel     context.CancelFunc
	done       chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	phase  phase
	asleep bool  // the goroutine is to be woken
	tick   bool  // an entry is wanted, even an empty one
	ahead  queue // goes first
	queue  fairQueue
	bytes  int // of commands taken and not yet answered; what MaxUncommittedBytes bounds
}

// A phase says what becomes of a command that is submitted.
type phase uint8

const (
	phaseFollowing phase = iota + 1 // refused: ErrNotLeader
	phaseLeading                    // queued
	phaseClosed                     // refused: ErrClosed
)

// NewLog starts a Log on the engine. Close it before the engine.
func NewLog(engine Engine, cfg Config) *Log {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Log{
		engine:     engine,
		cfg:        cfg.withDefaults(),
		telemetry:  telemetry.NewLog(cfg.TracerProvider, cfg.MeterProvider),
		leadership: latest.New(Leadership{}),
		wake:       make(chan struct{}, 1),
		cancel:     cancel,
		done:       make(chan struct{}),
		phase:      phaseFollowing,
	}
	l.waiters.New = func() any { return newWaiter() }
	p := &proposer{log: l, engine: engine, cfg: l.cfg}
	go func() {
		defer close(l.done)
		p.run(ctx)
	}()
	return l
}

// Propose hands a command to the log and returns its result once it is applied here.
// Errors: ErrNotLeader, ErrOverloaded, ErrClosed, and that of a ctx that had ended
// before: never committed. ErrUnknown (also when ctx ends after the command was taken):
// perhaps. The log keeps cmd. A span of ctx is that of which the command is part, as in
// Submit.
func (l *Log) Propose(ctx context.Context, cmd []byte) (index uint64, result any, err error) {
	if ctx.Err() != nil {
		return 0, nil, fmt.Errorf("propose: %w", context.Cause(ctx))
	}
	w, _ := l.waiters.Get().(*waiter)
	c := command{data: cmd, done: w.done, traced: l.telemetry.Proposal(trace.SpanContextFromContext(ctx))}
	if err := l.take(c, 0, Ordinary); err != nil {
		c.traced.End(nil, err)
		l.waiters.Put(w)
		return 0, nil, err
	}
	select {
	case <-w.ready:
		index, result, err = w.index, w.result, w.err
		w.result, w.err = nil, nil
		l.waiters.Put(w)
		return index, result, err
	case <-ctx.Done():
		// The goroutine of the log still has w: it is left to it.
		return 0, nil, fmt.Errorf("propose: %w: %w", ErrUnknown, context.Cause(ctx))
	}
}

// Submit is Propose that does not wait: commands of one goroutine and one source enter the
// log in the order of their Submits (but for those that go Ahead), or an earlier one failed
// and so will the later ones of the same leadership. done is called once and must not block:
// from the goroutine of the log, or, if the command is refused at once, from Submit
// itself. It may be nil. The log keeps cmd.
//
// parents are the spans of which the command is part, here or on another machine; mostly
// none. Each that is sampled gets a child coord.propose, from here to done, and in it
// coord.commit, for as long as the engine has the entry.
func (l *Log) Submit(cmd []byte, from Source, u Urgency, done func(index uint64, result any, err error), parents ...trace.SpanContext) {
	c := command{data: cmd, done: done, traced: l.telemetry.Proposal(parents...)}
	if err := l.take(c, from, u); err != nil {
		c.answer(nil, nil, err)
	}
}

// Tick proposes an entry even if no command comes, so that the clock advances. Ticks
// before that entry are one.
func (l *Log) Tick() {
	l.mu.Lock()
	wake := false
	if l.phase == phaseLeading {
		l.tick = true
		wake = l.rouse()
	}
	l.mu.Unlock()
	l.signal(wake)
}

// Leadership is the latest state and a channel that is closed when there is a newer.
func (l *Log) Leadership() (Leadership, <-chan struct{}) { return l.leadership.Get() }

// Engine is the engine below, for status, snapshots, transfer.
func (l *Log) Engine() Engine { return l.engine }

// Close fails what waits with ErrClosed (what is in flight with ErrUnknown), and waits
// for the log's goroutine.
func (l *Log) Close() error {
	l.mu.Lock()
	l.phase = phaseClosed
	l.mu.Unlock()
	l.cancel()
	<-l.done
	return nil
}

// take queues a command, or says why not.
func (l *Log) take(c command, from Source, u Urgency) error {
	l.mu.Lock()
	err := l.refusal(c, u)
	wake := false
	if err == nil {
		if u == Ahead {
			l.ahead.push(c)
		} else {
			l.queue.push(from, c)
		}
		l.bytes += c.size()
		wake = l.rouse()
	}
	l.mu.Unlock()
	l.signal(wake)
	return err
}

// refusal is called with mu held.
func (l *Log) refusal(c command, u Urgency) error {
	switch {
	case l.phase == phaseClosed:
		return ErrClosed
	case l.phase == phaseFollowing:
		return ErrNotLeader
	case u == Ordinary && l.bytes+c.size() > l.cfg.MaxUncommittedBytes:
		return ErrOverloaded
	}
	return nil
}

// rouse says whether the goroutine is to be signalled, which is once for each time that
// it falls asleep: a signal a command would be most of a command's cost. It is called
// with mu held.
func (l *Log) rouse() bool {
	wake := l.asleep
	l.asleep = false
	return wake
}

func (l *Log) signal(wake bool) {
	if !wake {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default: // one that it has not taken yet will do
	}
}

// A Leadership is what the rest of the system sees of a term.
type Leadership struct {
	Term     uint64
	LeaderID string
	// Leading: this node leads and its barrier, the first entry of the term, is
	// applied here: the machine has everything that was ever acknowledged.
	Leading bool
}

// A waiter is a Propose that waits. It is used again and again.
type waiter struct {
	ready  chan struct{} // of one
	done   func(uint64, any, error)
	index  uint64
	result any
	err    error
}

func newWaiter() *waiter {
	w := &waiter{ready: make(chan struct{}, 1)}
	w.done = func(index uint64, result any, err error) {
		w.index, w.result, w.err = index, result, err
		w.ready <- struct{}{}
	}
	return w
}

// errResults says that an engine broke its contract.
var errResults = errors.New("engine returned another number of results than there are commands")

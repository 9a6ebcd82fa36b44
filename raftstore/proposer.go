package raftstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"coordd.dev/internal/telemetry"
)

// retryAfter is how long a node that leads, and could not append, waits for the engine
// to change its mind before it tries the same term again.
const retryAfter = 100 * time.Millisecond

// A proposer is the goroutine of a Log: all that it alone touches.
type proposer struct {
	log    *Log
	engine Engine
	cfg    Config

	term     uint64    // the term of the last entry proposed
	proposed time.Time // when it was, on the monotonic clock

	batch    []command // of the entry in flight
	commands [][]byte  // the same, for the encoder
}

// run serves one leadership after another until ctx ends.
func (p *proposer) run(ctx context.Context) {
	for ctx.Err() == nil {
		state, changed := p.engine.State()
		p.publish(state, false)
		if !state.Leader {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		err := p.lead(ctx, state, changed)
		p.stopLeading(ErrNotLeader)
		if err != nil && ctx.Err() == nil {
			p.publish(state, false)
			p.yield(ctx, state.Term, err)
		}
	}
	p.stopLeading(ErrClosed)
	state, _ := p.engine.State()
	p.publish(state, false)
}

// lead serves one leadership. It returns nil if the engine's state has changed, and
// otherwise what went wrong; some commands may then still wait.
func (p *proposer) lead(ctx context.Context, state State, changed <-chan struct{}) error {
	if _, _, err := p.append(ctx, state.Term); err != nil {
		return fmt.Errorf("append barrier: %w", err)
	}
	if !p.startLeading() {
		return nil // closed meanwhile
	}
	p.publish(state, true)
	for {
		select {
		case <-changed:
			state, changed = p.renew(state)
			if changed == nil {
				return nil
			}
		default:
		}
		if !p.next() {
			select {
			case <-p.log.wake:
			case <-changed:
			case <-ctx.Done():
				return nil
			}
			continue
		}
		if err := p.commit(ctx, state.Term); err != nil {
			return err
		}
	}
}

// renew reads the engine's state. The channel is nil if this leadership is over.
func (p *proposer) renew(old State) (State, <-chan struct{}) {
	state, changed := p.engine.State()
	if !state.Leader || state.Term != old.Term {
		return state, nil
	}
	p.publish(state, true)
	return state, changed
}

// commit appends the batch and answers its commands.
func (p *proposer) commit(ctx context.Context, term uint64) error {
	entry, results, err := p.append(ctx, term)
	size := 0
	for i := range p.batch {
		size += p.batch[i].size()
	}
	p.log.mu.Lock()
	p.log.bytes -= size
	p.log.mu.Unlock()
	for i := range p.batch {
		var result any
		if err == nil {
			result = results[i]
		}
		p.batch[i].answer(&entry, result, err)
	}
	clear(p.batch)
	p.batch = p.batch[:0]
	return err
}

// append proposes the batch, which may be empty, as one entry.
func (p *proposer) append(ctx context.Context, term uint64) (telemetry.Entry, []any, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AppendTimeout)
	defer cancel()
	size := 0
	p.commands = p.commands[:0]
	for _, c := range p.batch {
		p.commands = append(p.commands, c.data)
		size += len(c.data)
	}
	data := AppendEntry(make([]byte, 0, entrySize(len(p.batch), size)),
		Entry{Term: term, Increment: p.increment(term), Commands: p.commands})
	clear(p.commands)
	e := telemetry.Entry{Commands: len(p.batch), Handed: time.Now()}
	index, results, err := p.engine.Append(ctx, data)
	e.Returned = time.Now()
	if err == nil && len(results) != len(p.batch) {
		err = fmt.Errorf("%w: %w: %d, %d", ErrUnknown, errResults, len(results), len(p.batch))
	}
	if err == nil {
		e.Index = index
		p.log.telemetry.Committed(e)
	}
	return e, results, err
}

// increment is the time since the previous entry of this term was proposed, whatever
// became of it: if it was lost, so is its interval, and the cluster clock falls behind,
// which is harmless.
func (p *proposer) increment(term uint64) time.Duration {
	now := time.Now()
	since := now.Sub(p.proposed)
	if p.term != term {
		since = 0
	}
	p.term, p.proposed = term, now
	return since
}

// next fills the batch with what waits. If there is nothing to propose the goroutine
// counts as asleep.
func (p *proposer) next() bool {
	l := p.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == phaseClosed || l.ahead.len()+l.queue.len() == 0 && !l.tick {
		l.asleep = true
		return false
	}
	l.tick = false
	p.batch = l.ahead.take(p.batch, 0, p.cfg.MaxEntryBytes)
	if l.ahead.len() == 0 {
		p.batch = l.queue.take(p.batch, p.cfg.MaxEntryBytes)
	}
	return true
}

// startLeading opens the queue. It reports false if the log is closed.
func (p *proposer) startLeading() bool {
	l := p.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == phaseClosed {
		return false
	}
	l.phase = phaseLeading
	return true
}

// stopLeading shuts the queue and fails all that waits: it was never written.
func (p *proposer) stopLeading(err error) {
	l := p.log
	l.mu.Lock()
	if l.phase == phaseLeading {
		l.phase = phaseFollowing
	}
	waiting := l.queue.take(l.ahead.take(nil, 0, math.MaxInt), math.MaxInt)
	l.bytes, l.tick, l.asleep = 0, false, false
	if l.phase == phaseClosed {
		err = ErrClosed
	}
	l.mu.Unlock()
	for i := range waiting {
		waiting[i].answer(nil, nil, err)
	}
}

// yield is called after an entry failed while the engine led. Usually the engine has
// lost the term, or is about to say so. If it goes on to lead, it is asked to hand over
// (after an unknown outcome: a disk that stalls costs a leader no heartbeat, and so not
// its leadership); and if that fails too, run tries this term again.
func (p *proposer) yield(ctx context.Context, term uint64, cause error) {
	state, changed := p.engine.State()
	if !state.Leader || state.Term != term {
		return
	}
	if errors.Is(cause, ErrUnknown) {
		ctx, cancel := context.WithTimeout(ctx, p.cfg.AppendTimeout)
		// Its error says nothing that the state does not.
		_ = p.engine.Transfer(ctx, "")
		cancel()
	}
	retry := time.NewTimer(retryAfter)
	defer retry.Stop()
	select {
	case <-changed:
	case <-retry.C:
	case <-ctx.Done():
	}
}

// publish tells the rest of the system.
func (p *proposer) publish(state State, leading bool) {
	p.log.leadership.Set(Leadership{Term: state.Term, LeaderID: state.LeaderID, Leading: leading})
}

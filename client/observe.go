package client

import (
	"context"
	"fmt"
	"iter"
	"sync"

	coordv1 "coordd.dev/api/coord/v1"
)

// Observe yields the present state, then every change in order, vacancy included. It
// rides out reconnects; Leader.Missed counts what a gap cost. An error is the last
// pair.
//
// Terms only rise. A state with the term of the one before is a Proclaim, or the vacancy
// after that term; a transfer has none. Of a change the Holder has who it is, its note
// and its token. A slow loop delays nobody: what the cluster forgets meanwhile is a gap.
// A gap may also hide a state and what followed it, so that the same state is told once.
// It ends with ctx, with the client, or with the loop.
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		op := "observe " + e.ref().String()
		if err := checkName(e.name); err != nil {
			yield(Leader{}, fmt.Errorf("%s: %w", op, err))
			return
		}
		inner, stop := e.courier.untilDraining(ctx)
		defer stop()
		o := newObserver(e, yield)
		err := o.run(inner)
		switch {
		case err == nil: // the loop has ended
		case ctx.Err() != nil:
			yield(Leader{}, contextEnded(ctx, op, nil))
		case inner.Err() != nil:
			yield(Leader{}, fmt.Errorf("%s: %w", op, context.Cause(inner)))
		default:
			yield(Leader{}, fmt.Errorf("%s: %w", op, err))
		}
	}
}

// untilDraining is ctx, ended also when the client begins to close. stop waits for the
// goroutine that does this.
func (k *courier) untilDraining(ctx context.Context) (inner context.Context, stop func()) {
	inner, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-k.draining:
			cancel(ErrClientClosed)
		case <-inner.Done():
		}
	})
	return inner, func() {
		cancel(context.Canceled)
		wg.Wait()
	}
}

// An observer turns the changes of an election into the states that it has, and tells
// each once.
type observer struct {
	watcher
	yield func(Leader, error) bool

	told   bool   // something was
	last   Leader // what was told last
	missed uint64 // since then
}

func newObserver(e *Election, yield func(Leader, error) bool) *observer {
	o := &observer{watcher: newWatcher(e.courier, e.ref()), yield: yield}
	o.heard, o.lost = o.hear, func() error {
		o.after, o.known, o.missed = 0, false, o.missed+1
		return nil
	}
	return o
}

// hear takes one response.
func (o *observer) hear(resp *coordv1.WatchResponse) error {
	o.missed += resp.GetSkipped()
	if p := resp.GetPresent(); p != nil {
		if now := o.present(p); !o.told || !now.same(o.last) {
			o.tell(now)
		}
	}
	for _, c := range resp.GetChanges() {
		if now, ok := o.changed(c); ok && c.GetRevision() > o.after {
			o.tell(now)
		}
	}
	return nil
}

// same reports whether two states are one, by what an observer sees.
func (l Leader) same(as Leader) bool {
	return l.Vacant == as.Vacant && l.Term == as.Term && l.Value == as.Value
}

// present is the state that a description shows.
func (o *observer) present(d *coordv1.Description) Leader {
	now := leaderFrom(d)
	if !now.Vacant {
		return now
	}
	now = o.last
	if p := holderOf(d); p != nil { // its lock-delay is left of it
		now = Leader{Value: p.GetValue(), Term: Token(p.GetToken()), Who: holderFrom(p)}
	}
	now.Vacant = true
	return now
}

// changed is the state after a change; ok is false if it is the last one still.
func (o *observer) changed(c *coordv1.ObjectChange) (now Leader, ok bool) {
	switch term := Token(c.GetToken()); c.GetType() {
	case coordv1.ChangeType_CHANGE_TYPE_GRANTED, coordv1.ChangeType_CHANGE_TYPE_PROCLAIMED:
		return Leader{Value: c.GetValue(), Term: term, Who: Holder{
			Session:  sessionID(c.GetSessionId()),
			Name:     c.GetWho().GetName(),
			Metadata: c.GetWho().GetMetadata(),
			Note:     c.GetNote(),
			Token:    term,
			Count:    c.GetCount(),
		}}, true
	case coordv1.ChangeType_CHANGE_TYPE_ENDED, coordv1.ChangeType_CHANGE_TYPE_DELAYED:
		// After a transfer the next leader's change follows, of the same log entry.
		now = o.last
		now.Vacant = true
		return now, term == o.last.Term && !o.last.Vacant && c.GetEndReason() != coordv1.EndReason_END_REASON_TRANSFERRED
	default: // not of an election
	}
	return Leader{}, false
}

// tell yields a state.
func (o *observer) tell(now Leader) {
	if o.ended {
		return
	}
	o.told, o.last = true, now
	now.Missed, o.missed = o.missed, 0
	o.ended = !o.yield(now, nil)
}

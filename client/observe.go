package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

// outOfReach is after how long without the cluster an observer says so.
const outOfReach = time.Second

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
	name  string
	conn  *conn
	reach reach
	yield func(Leader, error) bool

	after  uint64 // everything up to this revision was told
	told   bool   // something was
	last   Leader // what was told last
	missed uint64 // since then
	ended  bool   // the loop has
}

func newObserver(e *Election, yield func(Leader, error) bool) *observer {
	return &observer{
		name: e.name, conn: e.courier.conn, yield: yield,
		reach: reach{logger: e.courier.cfg.network.logger.With("election", e.name)},
	}
}

// run watches for as long as it can. It returns nil when the loop has ended.
func (o *observer) run(ctx context.Context) error {
	defer o.reach.stop()
	for b := newBackOff(); ; {
		heard, err := o.watch(ctx)
		if heard {
			b.reset()
		}
		switch r := (*refused)(nil); {
		case o.ended:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &r) && r.reason == coordv1.Reason_REASON_INVALID && o.after > 0:
			o.after, o.missed = 0, o.missed+1 // the cluster has another past
		case errors.As(err, &r) && r.final():
			return r
		default:
			o.reach.lost()
			o.conn.pause(ctx, b, err)
		}
	}
}

// watch tells what one stream brings until it ends, and reports whether it brought
// anything.
func (o *observer) watch(ctx context.Context) (heard bool, err error) {
	l, err := o.conn.leader(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := coordv1.NewInspectServiceClient(l.cc).Watch(ctx, &coordv1.WatchRequest{
		Kind: coordv1.Kind_KIND_ELECTION, Name: o.name, After: o.after,
	})
	for err == nil && !o.ended {
		var resp *coordv1.WatchResponse
		if resp, err = stream.Recv(); err == nil {
			heard = true
			o.reach.found()
			o.hear(resp)
		}
	}
	if err == nil {
		return heard, nil
	}
	r := refusedBy(err)
	switch {
	case ctx.Err() != nil, r.final():
	case r.aboutTheLink():
		o.conn.failed(l, r.leader())
	case r.aboutTheStream():
		o.conn.suspect(l)
	}
	return heard, r
}

// hear takes one response.
func (o *observer) hear(resp *coordv1.WatchResponse) {
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
	o.after = max(o.after, resp.GetRevision())
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
	case coordv1.ChangeType_CHANGE_TYPE_UNSPECIFIED, coordv1.ChangeType_CHANGE_TYPE_RESIZED:
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

// A reach says, in the client's log, when the cluster has been out of an observer's reach
// for a while, and when it is back.
type reach struct {
	logger *slog.Logger
	cut    context.CancelFunc // nil while it is in reach
	said   bool
	wg     sync.WaitGroup
}

// lost says so, unless found comes soon. Later calls do nothing.
func (r *reach) lost() {
	if r.cut != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cut = cancel
	r.wg.Go(func() {
		t := time.NewTimer(outOfReach)
		defer t.Stop()
		select {
		case <-t.C:
			r.said = true
			r.logger.Warn("observer out of reach of the cluster")
		case <-ctx.Done():
		}
	})
}

func (r *reach) found() {
	if r.cut == nil {
		return
	}
	r.stop()
	if r.said {
		r.said = false
		r.logger.Info("observer in reach of the cluster again")
	}
}

func (r *reach) stop() {
	if r.cut != nil {
		r.cut()
		r.cut = nil
	}
	r.wg.Wait()
}

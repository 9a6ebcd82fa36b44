package client

import (
	"context"
	"sync/atomic"
	"time"
)

// A Session is a snapshot of a client's lease.
type Session struct {
	ID       SessionID
	TTL      time.Duration
	Deadline time.Time // local and conservative: no hold outlives it unrenewed
	live     *live
}

// Context ends when this session is lost or closed.
func (s Session) Context() context.Context { return s.live.ctx }

// Session is the present session. It changes after a loss.
func (c *Client) Session() Session { return c.courier.session() }

func (k *courier) session() Session {
	k.mu.Lock()
	l := k.live
	k.mu.Unlock()
	return Session{
		ID:       sessionID(l.id),
		TTL:      k.cfg.ttl,
		Deadline: k.clock.at(time.Duration(l.deadline.Load())),
		live:     l,
	}
}

// A live is one session while it lasts: what holds read without a lock.
type live struct {
	id       uint64
	since    time.Duration   // on the clock
	deadline atomic.Int64    // on the clock; it only rises
	ctx      context.Context //nolint:containedctx // it is what Session.Context returns
	cancel   context.CancelCauseFunc
}

func newLive(id uint64, now time.Duration) *live {
	l := &live{id: id, since: now}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// noLive stands for the session before the first.
func noLive() *live {
	l := newLive(0, 0)
	l.cancel(ErrUnavailable)
	return l
}

func (l *live) over() bool { return l.ctx.Err() != nil }

func (l *live) end(why *LostError) { l.cancel(why) }

// endedAt is when the session was over of which that is found at now: the deadline may
// have passed before.
func (l *live) endedAt(now time.Duration) time.Duration {
	return min(now, time.Duration(l.deadline.Load()))
}

// covers reports whether the lease surely lasts at now.
func (l *live) covers(now time.Duration) bool { return int64(now) < l.deadline.Load() }

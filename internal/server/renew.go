package server

import (
	"context"
	"crypto/subtle"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
)

const (
	// maxLeases bounds one Renew call, and about so many one command.
	maxLeases = 10_000

	// Renewals wait for others so long at most (SEMANTICS A3): the shortest TTL among
	// them divided by the first, and never longer than the second.
	gatherShare = 20
	gatherLimit = 100 * time.Millisecond
)

// Renew implements coordv1.SessionServiceServer. Whether a session is over is said by
// the applied renewal only: this node may have been deposed, and be behind.
func (s *sessions) Renew(ctx context.Context, req *coordv1.RenewRequest) (*coordv1.RenewResponse, error) {
	leases := req.GetLeases()
	if len(leases) > maxLeases {
		return nil, errLimit("renew", "leases", fmt.Sprintf("%d leases, at most %d; use several calls", len(leases), maxLeases))
	}
	out := &coordv1.RenewResponse{Renewals: make([]coordv1.Renewal, len(leases))}
	checked := s.check(ctx, leases, out.Renewals)
	if len(checked.sessions) == 0 {
		return out, nil
	}
	results, err := s.renewals.renew(ctx, checked.sessions, checked.wait)
	if err != nil {
		return nil, proposalError(ctx, "renew", "renew again", s.leaderHint(), err)
	}
	for i, at := range checked.at {
		out.Renewals[at] = coordv1.Renewal(results[i])
	}
	var unknown []*coordv1.Lease
	for _, at := range checked.unknown {
		unknown = append(unknown, leases[at])
	}
	for i, p := range s.proofs(ctx, unknown) {
		if !p.proven {
			out.Renewals[checked.unknown[i]] = coordv1.Renewal_RENEWAL_OVER
		}
	}
	return out, nil
}

// checked is the leases of a call that go into the log.
type checked struct {
	sessions []park.SessionID
	at       []int // where in the call
	unknown  []int // where in it those are that are of no session here yet: look again after
	wait     time.Duration
}

// check answers the leases of others with over: an id is never used twice, so that a
// wrong secret stays wrong.
func (s *sessions) check(ctx context.Context, leases []*coordv1.Lease, out []coordv1.Renewal) checked {
	c := checked{wait: gatherLimit}
	for i, p := range s.proofs(ctx, leases) {
		id := park.SessionID(leases[i].GetSessionId())
		if p.known && !p.proven || id == 0 {
			out[i] = coordv1.Renewal_RENEWAL_OVER
			continue
		}
		if p.known {
			c.wait = min(c.wait, p.ttl/gatherShare)
		} else {
			c.unknown = append(c.unknown, i)
		}
		c.sessions = append(c.sessions, id)
		c.at = append(c.at, i)
	}
	return c
}

// A proof is whether a lease is its caller's.
type proof struct {
	known  bool // there is such a session here, live or over
	proven bool // and the secret is its
	ttl    time.Duration
}

// proofs compares the secrets of a call with the machine's, which is asked for all at once:
// it may be busy with entry after entry.
func (s *sessions) proofs(ctx context.Context, leases []*coordv1.Lease) []proof {
	given := make([]machine.Secret, len(leases))
	for i, l := range leases {
		given[i] = bind(ctx, secretOf(l.GetSecret()))
	}
	proofs := make([]proof, len(leases))
	s.cfg.Replica.leases(func(of func(park.SessionID) (machine.Secret, int64, bool)) {
		for i, l := range leases {
			secret, ttl, known := of(park.SessionID(l.GetSessionId()))
			proven := subtle.ConstantTimeCompare(secret[:], given[i][:]) == 1
			proofs[i] = proof{known, known && proven, time.Duration(ttl)}
		}
	})
	return proofs
}

// A gatherer makes one command of the renewals of many calls.
type gatherer struct {
	log *raftstore.Log

	waiting atomic.Bool // there is a batch; only a hint

	mu    sync.Mutex
	batch *renewals // nil if nobody waits
}

// renewals is one command. Its results are valid once done is closed.
type renewals struct {
	sessions []park.SessionID
	due      time.Time
	timer    *time.Timer
	done     chan struct{}
	results  []machine.Renewal
	err      error
}

// renew returns the answers for ids once they are applied. They wait for others for wait
// at most.
func (g *gatherer) renew(ctx context.Context, ids []park.SessionID, wait time.Duration) ([]machine.Renewal, error) {
	b, first := g.join(ids, wait)
	select {
	case <-b.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("renew: %w: %w", raftstore.ErrUnknown, context.Cause(ctx))
	}
	if b.err != nil {
		return nil, b.err
	}
	return b.results[first : first+len(ids)], nil
}

// join puts ids into the present batch, from the returned place on.
func (g *gatherer) join(ids []park.SessionID, wait time.Duration) (*renewals, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	due := time.Now().Add(wait)
	b := g.batch
	switch {
	case b == nil:
		b = &renewals{due: due, done: make(chan struct{})}
		b.timer = time.AfterFunc(wait, func() { g.flush(b) })
		g.batch = b
		g.waiting.Store(true)
	case due.Before(b.due):
		b.due = due
		b.timer.Reset(wait)
	}
	first := len(b.sessions)
	b.sessions = append(b.sessions, ids...)
	if len(b.sessions) >= maxLeases {
		b.timer.Reset(0)
	}
	return b, first
}

// ride sends what is gathered with an entry that is under way anyway.
func (g *gatherer) ride() {
	if !g.waiting.Load() {
		return
	}
	g.mu.Lock()
	b := g.batch
	g.mu.Unlock()
	if b != nil {
		g.flush(b)
	}
}

// flush submits b, unless that was done.
func (g *gatherer) flush(b *renewals) {
	g.mu.Lock()
	if g.batch != b {
		g.mu.Unlock()
		return
	}
	g.batch = nil
	g.waiting.Store(false)
	g.mu.Unlock()
	b.timer.Stop()
	data := machine.AppendCommand(nil, &machine.Renew{Sessions: b.sessions})
	g.log.Submit(data, 0, raftstore.Ahead, func(_ uint64, result any, err error) {
		b.results, _ = result.([]machine.Renewal)
		b.err = err
		if err == nil && len(b.results) != len(b.sessions) {
			b.err = fmt.Errorf("renew: %d answers for %d sessions", len(b.results), len(b.sessions))
		}
		close(b.done)
	})
}

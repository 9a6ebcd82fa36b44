package client

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

const (
	// gatherMost and gatherPart bound how long a lease waits for others to share its
	// call; what it waits is taken off its deadline, since its start is earlier.
	gatherMost = 100 * time.Millisecond
	gatherPart = 40 // of the shortest TTL

	maxLeases = 10_000 // in one call
)

// renewals are the leases that wait to be put into a Renew call.
type renewals struct {
	kick chan struct{} // has a token when due is not empty

	mu  sync.Mutex
	due []dueLease
}

type dueLease struct {
	courier *courier
	lease   lessee.Lease
}

func (r *renewals) add(d dueLease) {
	r.mu.Lock()
	r.due = append(r.due, d)
	r.mu.Unlock()
	kick(r.kick)
}

func (r *renewals) take() []dueLease {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := r.due
	r.due = nil
	return due
}

// serveRenewals is the one loop that renews the leases of all sessions of the conn. A
// call has a goroutine, because the next tries do not wait for the answer of the
// last one (SEMANTICS A3): a session makes one every tenth of its TTL at most, and each
// ends after the longest TTL in it.
func (c *conn) serveRenewals(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		select {
		case <-c.renewals.kick:
		case <-ctx.Done():
			return
		}
		c.gather(ctx)
		for leases := range slices.Chunk(c.along(c.renewals.take()), maxLeases) {
			calls.Go(func() { c.renew(ctx, leases) })
		}
	}
}

// gather waits for company if there may be some.
func (c *conn) gather(ctx context.Context) {
	wait := gatherMost
	c.mu.Lock()
	alone := len(c.couriers) < 2
	for k := range c.couriers {
		wait = min(wait, k.cfg.ttl/gatherPart)
	}
	c.mu.Unlock()
	if alone {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// along adds the leases that are going to be due soon to those of a call: sessions that were
// opened at any time come to be renewed by few calls, and so cost their leader little. They
// are in the order in which it has them.
func (c *conn) along(due []dueLease) []dueLease {
	c.mu.Lock()
	couriers := slices.Collect(maps.Keys(c.couriers))
	c.mu.Unlock()
	for _, k := range couriers {
		if lease, ok := k.renewAlong(); ok {
			due = append(due, dueLease{k, lease})
		}
	}
	slices.SortFunc(due, func(a, b dueLease) int { return cmp.Compare(a.lease.Session, b.lease.Session) })
	return due
}

// renew makes one call for the leases and credits its answer. It looks for another
// leader if it fails, until the lessees make their next tries; the answer of a call
// under way is waited for longer, since a late one counts too.
func (c *conn) renew(ctx context.Context, leases []dueLease) {
	patience, longest, began := leases[0].courier.cfg.ttl, time.Duration(0), leases[0].lease.Start
	req := &coordv1.RenewRequest{Leases: make([]*coordv1.Lease, 0, len(leases))}
	for _, d := range leases {
		patience = min(patience, d.courier.cfg.ttl)
		longest = max(longest, d.courier.cfg.ttl)
		began = min(began, d.lease.Start)
		req.Leases = append(req.Leases, &coordv1.Lease{SessionId: d.lease.Session, Secret: d.lease.Secret[:]})
	}
	patience /= 10 // the lessees' own
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for b := newBackOff(); ; {
		resp, err := c.tryRenew(ctx, req, patience)
		if err == nil {
			credit(leases, resp.GetRenewals())
			return
		}
		if c.clock.now()-began >= patience || ctx.Err() != nil {
			return
		}
		c.pause(ctx, b, err)
	}
}

// tryRenew makes the call once. A node that does not answer for long is suspected.
func (c *conn) tryRenew(ctx context.Context, req *coordv1.RenewRequest, patience time.Duration) (*coordv1.RenewResponse, error) {
	l, err := c.leader(ctx)
	if err != nil {
		return nil, err
	}
	suspicion := time.AfterFunc(patience, func() { c.suspect(l) })
	defer suspicion.Stop()
	resp, err := coordv1.NewSessionServiceClient(l.cc).Renew(ctx, req)
	if err == nil {
		return resp, nil
	}
	r := refusedBy(err)
	switch {
	case ctx.Err() != nil:
	case r.aboutTheLink():
		c.left(l, r)
	case r.aboutTheStream():
		c.suspect(l)
	}
	return nil, r
}

// credit gives each lessee the server's word on its lease.
func credit(leases []dueLease, renewals []coordv1.Renewal) {
	if len(renewals) != len(leases) {
		return // not an answer; the lessees ask again
	}
	for i, d := range leases {
		switch renewals[i] {
		case coordv1.Renewal_RENEWAL_RENEWED:
			d.courier.renewed(d.lease, lessee.Renewed)
		case coordv1.Renewal_RENEWAL_OVER:
			d.courier.renewed(d.lease, lessee.RenewalOver)
		case coordv1.Renewal_RENEWAL_REVOKED:
			d.courier.renewed(d.lease, lessee.RenewalRevoked)
		case coordv1.Renewal_RENEWAL_UNSPECIFIED:
		}
	}
}

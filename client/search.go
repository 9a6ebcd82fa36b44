package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

// searchTimeout bounds a search: two probes, one after the other.
const searchTimeout = 2*probeTimeout + probeTimeout/2

// A probe is one node's answer to the question who leads.
type probe struct {
	addr   string
	link   *link // nil if it could not be made
	again  bool  // the node was asked before
	status *coordv1.StatusResponse
	err    error
}

// A finder asks nodes who leads, all at the same time. In an election nobody knows, and
// a node that has vanished is waited for: meanwhile the others are asked again.
type finder struct {
	conn    *conn
	results chan probe
	asked   map[string]bool
	open    int    // first probes without an answer
	repeats int    // further ones
	via     *probe // passes calls on to the leader
	faults  map[string]string
	heard   bool  // of any coordd
	refused error // by a node that does not know who asks
}

// find returns a link to the leader. If the leader cannot be reached from here, which
// happens where the nodes' addresses are not the clients', it returns one to a node
// that knows the leader and will pass calls on.
func (c *conn) find(ctx context.Context, hint string) (*link, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &finder{
		conn:    c,
		results: make(chan probe),
		asked:   make(map[string]bool),
		faults:  make(map[string]string),
	}
	if hint != "" {
		f.ask(ctx, hint, "")
	}
	for _, addr := range c.endpoints {
		f.ask(ctx, addr, "")
	}
	of, learnt := c.learnt()
	for _, addr := range learnt {
		f.ask(ctx, addr, of)
	}
	leader := f.await(ctx)
	cancel()
	f.drain()
	switch {
	case leader != nil:
		leader.leads = true
		if f.via != nil {
			f.via.link.close()
		}
		return leader, nil
	case f.via != nil:
		f.via.link.around, f.via.link.cluster = f.via.status.GetLeaderAddress(), f.via.status.GetClusterId()
		return f.via.link, nil
	}
	return nil, f.err()
}

// ask starts a probe, unless the node was asked before. cluster is the one that the
// node must be of, "" if any will do: an address that a node gave may mean another
// machine here.
func (f *finder) ask(ctx context.Context, addr, cluster string) {
	if addr == "" || f.asked[addr] || len(f.asked) > 2*maxEndpoints {
		return
	}
	f.asked[addr] = true
	f.open++
	go func() { // await or drain receives
		p := probe{addr: addr}
		if p.link, p.err = f.conn.network.link(addr); p.err == nil {
			p.status, p.err = p.link.status(ctx)
		}
		if got := p.status.GetClusterId(); p.err == nil && cluster != "" && got != cluster {
			p.err = fmt.Errorf("it is of cluster %s, not %s", got, cluster)
		}
		f.results <- p
	}()
}

// askAgain asks a node anew, after a moment.
func (f *finder) askAgain(ctx context.Context, p probe) {
	f.repeats++
	go func() { // await or drain receives
		t := time.NewTimer(retryElection)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		again := probe{addr: p.addr, link: p.link, again: true}
		again.status, again.err = p.link.status(ctx)
		f.results <- again
	}()
}

// await returns the link to the leader, nil if no node led.
func (f *finder) await(ctx context.Context) *link {
	for f.open > 0 {
		p := f.next()
		switch {
		case p.err != nil && p.link == nil:
			f.faults[p.addr] = p.err.Error()
		case p.err != nil:
			f.faults[p.addr] = p.link.fault(p.err)
			if r := refusedBy(p.err); errors.Is(r, ErrForbidden) {
				f.refused = fmt.Errorf("%s: %w: %w", p.addr, ErrForbidden, r)
			}
			p.link.close()
		case p.status.GetLeading() && p.status.GetClusterId() != "":
			p.link.cluster = p.status.GetClusterId()
			f.conn.learn(p.status)
			return p.link
		default:
			f.follow(ctx, p)
		}
	}
	return nil
}

func (f *finder) next() probe {
	p := <-f.results
	if p.again {
		f.repeats--
	} else {
		f.open--
	}
	return p
}

// follow takes the answer of a node that does not lead, or has yet to found its cluster, which
// takes a moment: before that it serves nobody, and holds could not be named (LineageFrom).
func (f *finder) follow(ctx context.Context, p probe) {
	f.heard = true
	leader := p.status.GetLeaderAddress()
	f.faults[p.addr] = "no leader known"
	if why := p.status.GetNotReadyReason(); why != "" {
		f.faults[p.addr] = why
	}
	if p.status.GetLeading() {
		leader = ""
	}
	f.ask(ctx, leader, p.status.GetClusterId())
	if leader == "" {
		f.askAgain(ctx, p)
		return
	}
	if f.via != nil && f.via.status.GetTerm() >= p.status.GetTerm() {
		p.link.close()
		return
	}
	if f.via != nil {
		f.via.link.close()
	}
	f.via = &p
}

// drain closes what is not needed any more.
func (f *finder) drain() {
	for f.open+f.repeats > 0 {
		if p := f.next(); p.link != nil {
			p.link.close()
		}
	}
}

// err is why there is no link. That who asks is not known is no outage: it is the same
// everywhere, and until somebody changes it.
func (f *finder) err() error {
	if f.refused != nil {
		return f.refused
	}
	e := &unreachable{answered: f.heard}
	for _, addr := range f.conn.endpoints {
		if why := f.faults[addr]; why != "" {
			e.faults = append(e.faults, endpointFault{addr, why})
		}
	}
	return e
}

// anyNode calls f with one node after another until one answers, the one in use first. An
// answer is also a refusal that would be the same everywhere.
func (c *conn) anyNode(ctx context.Context, f func(context.Context, *link) error) error {
	c.mu.Lock()
	current := c.current
	c.mu.Unlock()
	e := &unreachable{}
	ask := func(l *link) (answered bool, err error) {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		if err = f(ctx, l); err == nil {
			return true, nil
		}
		r := refusedBy(err)
		e.answered = e.answered || r.reason != coordv1.Reason_REASON_UNSPECIFIED
		e.faults = append(e.faults, endpointFault{l.addr, l.fault(err)})
		return r.final(), r
	}
	if current != nil {
		if answered, err := ask(current); answered {
			return err
		}
	}
	for _, addr := range c.endpoints {
		if ctx.Err() != nil {
			break
		}
		l, err := c.network.link(addr)
		if err != nil {
			e.faults = append(e.faults, endpointFault{addr, err.Error()})
			continue
		}
		answered, err := ask(l)
		l.close()
		if answered {
			return err
		}
	}
	return e
}

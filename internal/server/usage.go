package server

import (
	"context"
	"fmt"
	"path"

	coordv1 "coordd.dev/api/coord/v1"
)

// countCall counts a unary call until leave is called, or refuses it. What renews and lets go is
// not counted: it is never refused for load (SEMANTICS H1).
func (s *Server) countCall(ctx context.Context, method string, row row, req any) (leave func(), err error) {
	t := s.consumerOf(ctx)
	if t == (consumer{}) || exempt(row, req) {
		return func() {}, nil
	}
	if row.opens && !s.quotas.opening(t) {
		return nil, s.tooFast(method, t)
	}
	if !s.quotas.take(t, meteredCalls, s.quotas.quota.Calls) {
		return nil, errQuota(method, t, s.quotas.quota.Calls, "calls under way")
	}
	return func() { s.quotas.give(t, meteredCalls) }, nil
}

// A streamUsage is one stream of a client.
type streamUsage struct {
	server   *Server
	consumer consumer
	method   string
	counts   metered
	heard    bool // the first message; only of the reader

	// Guarded by the quotas' mu: the reader may outlive the handler.
	wide, left bool
}

// countStream counts a stream until its leave is called, or refuses it. What a stream is for its first
// message says. Until then, and if it takes up a session, it may be one of twice the share: a
// session must be able to let go, and of a client whose connection has vanished the old streams
// are counted until that shows.
func (s *Server) countStream(ctx context.Context, method string) (*streamUsage, error) {
	u := &streamUsage{server: s, consumer: s.consumerOf(ctx), method: method, counts: meteredWatches}
	most, what := s.quotas.quota.Watches, "watches"
	if method == coordv1.SessionService_Attach_FullMethodName {
		u.counts, most, what = meteredStreams, 2*s.quotas.quota.Streams, "streams"
	}
	if u.counted() && !s.quotas.take(u.consumer, u.counts, most) {
		return nil, errQuota(method, u.consumer, most, what)
	}
	return u, nil
}

func (u *streamUsage) counted() bool { return u.consumer != consumer{} }

// leave is the end of the stream.
func (u *streamUsage) leave() {
	if !u.counted() {
		return
	}
	q := u.server.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	u.left = true
	has := q.usages[u.consumer]
	has.open[u.counts]--
	if u.wide {
		has.open[meteredWide]--
	}
}

// hear refuses a stream by its first message: one that opens a session too many, or too soon,
// and a watch of too much.
func (u *streamUsage) hear(m any) error {
	if u.heard || !u.counted() {
		return nil
	}
	u.heard = true
	q := u.server.quotas
	switch m := m.(type) {
	case *coordv1.AttachRequest:
		a := m.GetAttach()
		if a == nil || a.GetSessionId() != 0 {
			return nil
		}
		// Who replaces a lost session has had a stream for it.
		if a.GetReplacesId() == 0 && !u.fits() {
			return errQuota(u.method, u.consumer, q.quota.Streams, "streams")
		}
		if !q.opening(u.consumer) {
			return u.server.tooFast(u.method, u.consumer)
		}
	case *coordv1.WatchRequest:
		if m.GetName() == "" && !u.widen() {
			return errQuota(u.method, u.consumer, q.quota.Wide, "watches of more than one object")
		}
	}
	return nil
}

// fits says whether the client has, with this stream, no more than its share.
func (u *streamUsage) fits() bool {
	q := u.server.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of(u.consumer).open[meteredStreams] > q.quota.Streams {
		q.warn(u.consumer)
		return false
	}
	return true
}

// widen counts the stream as a watch of more than one object too.
func (u *streamUsage) widen() bool {
	q := u.server.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	has := q.of(u.consumer)
	switch {
	case u.left:
	case has.open[meteredWide] >= q.quota.Wide:
		q.warn(u.consumer)
		return false
	default:
		u.wide = true
		has.open[meteredWide]++
	}
	return true
}

// errQuota refuses what would be more than a client's share.
func errQuota(method string, t consumer, most int, what string) error {
	return errLimit(path.Base(method), limitClient,
		fmt.Sprintf("%s has %d %s at this node, as many as it may; end some, or retry later", t, most, what))
}

// tooFast refuses a session for now.
func (s *Server) tooFast(method string, t consumer) error {
	return errOverloaded(path.Base(method),
		fmt.Sprintf("%s opens more than %d sessions a second at this node", t, s.quotas.quota.Opens))
}

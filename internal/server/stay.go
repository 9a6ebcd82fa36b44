package server

import (
	"context"
	"fmt"
	"path"

	coordv1 "coordd.dev/api/coord/v1"
)

// share counts a unary call until leave is called, or refuses it. What renews and lets go is
// not counted: it is never refused for load (SEMANTICS H1).
func (s *Server) share(ctx context.Context, method string, row row, req any) (leave func(), err error) {
	t := s.tenantOf(ctx)
	if t == (tenant{}) || exempt(row, req) {
		return func() {}, nil
	}
	if row.opens && !s.house.opening(t) {
		return nil, s.tooFast(method, t)
	}
	if !s.house.take(t, roomCalls, s.house.shares.Calls) {
		return nil, errShare(method, t, s.house.shares.Calls, "calls under way")
	}
	return func() { s.house.give(t, roomCalls) }, nil
}

// A stay is one stream of a client.
type stay struct {
	server *Server
	tenant tenant
	method string
	room   room
	heard  bool // the first message; only of the reader

	// Guarded by the house's mu: the reader may outlive the handler.
	wide, left bool
}

// stays counts a stream until its leave is called, or refuses it. What a stream is for its first
// message says. Until then, and if it takes up a session, it may be one of twice the share: a
// session must be able to let go, and of a client whose connection has vanished the old streams
// are counted until that shows.
func (s *Server) stays(ctx context.Context, method string) (*stay, error) {
	y := &stay{server: s, tenant: s.tenantOf(ctx), method: method, room: roomWatches}
	most, what := s.house.shares.Watches, "watches"
	if method == coordv1.SessionService_Attach_FullMethodName {
		y.room, most, what = roomStreams, 2*s.house.shares.Streams, "streams"
	}
	if y.counted() && !s.house.take(y.tenant, y.room, most) {
		return nil, errShare(method, y.tenant, most, what)
	}
	return y, nil
}

func (y *stay) counted() bool { return y.tenant != tenant{} }

// leave is the end of the stream.
func (y *stay) leave() {
	if !y.counted() {
		return
	}
	h := y.server.house
	h.mu.Lock()
	defer h.mu.Unlock()
	y.left = true
	has := h.tenancies[y.tenant]
	has.open[y.room]--
	if y.wide {
		has.open[roomWide]--
	}
}

// hear refuses a stream by its first message: one that opens a session too many, or too soon,
// and a watch of too much.
func (y *stay) hear(m any) error {
	if y.heard || !y.counted() {
		return nil
	}
	y.heard = true
	h := y.server.house
	switch m := m.(type) {
	case *coordv1.AttachRequest:
		a := m.GetAttach()
		if a == nil || a.GetSessionId() != 0 {
			return nil
		}
		// Who replaces a lost session has had a stream for it.
		if a.GetReplacesId() == 0 && !y.fits() {
			return errShare(y.method, y.tenant, h.shares.Streams, "streams")
		}
		if !h.opening(y.tenant) {
			return y.server.tooFast(y.method, y.tenant)
		}
	case *coordv1.WatchRequest:
		if m.GetName() == "" && !y.widen() {
			return errShare(y.method, y.tenant, h.shares.Wide, "watches of more than one object")
		}
	}
	return nil
}

// fits says whether the client has, with this stream, no more than its share.
func (y *stay) fits() bool {
	h := y.server.house
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of(y.tenant).open[roomStreams] > h.shares.Streams {
		h.warn(y.tenant)
		return false
	}
	return true
}

// widen counts the stream as a watch of more than one object too.
func (y *stay) widen() bool {
	h := y.server.house
	h.mu.Lock()
	defer h.mu.Unlock()
	has := h.of(y.tenant)
	switch {
	case y.left:
	case has.open[roomWide] >= h.shares.Wide:
		h.warn(y.tenant)
		return false
	default:
		y.wide = true
		has.open[roomWide]++
	}
	return true
}

// errShare refuses what would be more than a client's share.
func errShare(method string, t tenant, most int, what string) error {
	return errLimit(path.Base(method), limitClient,
		fmt.Sprintf("%s has %d %s at this node, as many as it may; end some, or retry later", t, most, what))
}

// tooFast refuses a session for now.
func (s *Server) tooFast(method string, t tenant) error {
	return errOverloaded(path.Base(method),
		fmt.Sprintf("%s opens more than %d sessions a second at this node", t, s.house.shares.Opens))
}

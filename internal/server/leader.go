package server

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

const (
	// leaderWait is how long a call waits for a leader to be known: an election. A
	// client that was refused at once would have to poll.
	leaderWait = time.Second

	// lookupPause is between two tries to learn the address of the leader.
	lookupPause = 500 * time.Millisecond

	// maxNodes bounds what a client is told of the members at once.
	maxNodes = 16
)

// leader remembers where clients reach the nodes, to tell them: on a leader of all, on others
// of those that lead, or have led.
type leader struct {
	locate func(ctx context.Context, nodeID string) (string, error)

	mu    sync.Mutex
	addrs map[string]string // by node id
}

func newLeader(locate func(context.Context, string) (string, error)) *leader {
	return &leader{locate: locate, addrs: make(map[string]string)}
}

// refresh asks for the address of node id, which may have changed while it did not lead.
func (l *leader) refresh(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	addr, err := l.locate(ctx, id)
	if err != nil {
		return fmt.Errorf("locate leader %s: %w", id, err)
	}
	l.note(id, addr)
	return nil
}

// note remembers where clients reach node id.
func (l *leader) note(id, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addrs[id] = addr
}

// known is the address of node id, "" if it is not known. It never waits.
func (l *leader) known(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addrs[id]
}

// lookup finds the address of a new leader before anybody asks, until ctx ends.
func (l *leader) lookup(ctx context.Context, id string) {
	for {
		if l.refresh(ctx, id) == nil {
			return
		}
		select {
		case <-time.After(lookupPause):
		case <-ctx.Done():
			return
		}
	}
}

// leaderHint is the client address of the leader if it is known, and another node.
func (s *Server) leaderHint() string {
	l, _ := s.cfg.Log.Leadership()
	if l.LeaderID == "" || l.LeaderID == s.cfg.NodeID {
		return ""
	}
	return s.leader.known(l.LeaderID)
}

// nodes are where clients reach the members, as far as it is known here; not all of more than
// anybody runs.
func (s *Server) nodes() []string {
	var at []string
	for _, m := range s.cfg.Log.Engine().Members() {
		if a := s.leader.known(m.ID); a != "" && len(at) < maxNodes {
			at = append(at, a)
		}
	}
	return at
}

// leading is the term in which this node may serve, 0 if it may not: it leads, and the
// cluster is founded.
func (s *Server) leading() uint64 {
	l, _ := s.cfg.Log.Leadership()
	if !l.Leading || s.cfg.Replica.clusterID() == "" {
		return 0
	}
	return l.Term
}

// route says who serves a call: leader is "" if this node does. It waits for a leader.
func (s *Server) route(ctx context.Context, what string) (leader string, err error) {
	limit := time.NewTimer(leaderWait)
	defer limit.Stop()
	for {
		l, changed := s.cfg.Log.Leadership()
		founded := s.cfg.Replica.founded
		switch {
		case l.Leading && s.cfg.Replica.clusterID() != "":
			return "", nil
		case l.LeaderID != "" && l.LeaderID != s.cfg.NodeID:
			return l.LeaderID, nil
		case !l.Leading:
			founded = nil // it may be closed already
		}
		select {
		case <-changed:
		case <-founded:
		case <-limit.C:
			return "", errNoLeader(what, "")
		case <-s.stopping:
			return "", errStopping()
		case <-ctx.Done():
			return "", errNoLeader(what, "")
		}
	}
}

// protocolPrefix is that of the methods of coord.v1.
const protocolPrefix = "/coord.v1."

// local says that a method is always answered by the node that is asked: of coord.v1 only
// Status, and everything that is not of coord.v1. Others are if the request says stale.
func local(method string) bool {
	return !strings.HasPrefix(method, protocolPrefix) ||
		method == coordv1.ClusterService_Status_FullMethodName
}

// stale says that a request asks for this node's own state.
func stale(req any) bool {
	r, ok := req.(interface{ GetStale() bool })
	return ok && r.GetStale()
}

// target is the leader that a call is to be passed on to, "" if it is to be served here.
func (s *Server) target(ctx context.Context, method string) (string, error) {
	select {
	case <-s.stopping:
		if !local(method) {
			return "", errStopping()
		}
	default:
	}
	if local(method) {
		return "", nil
	}
	what := path.Base(method)
	leader, err := s.route(ctx, what)
	if err == nil {
		err = s.awaited(method)
	}
	if err != nil || leader == "" {
		return "", err
	}
	if forwarded(ctx) {
		return "", errNoLeader(what, s.leaderHint()) // once is enough
	}
	return leader, nil
}

// unary is the interceptor that lets unary calls in, and passes them on.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, row, err := s.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	leave, err := s.countCall(ctx, info.FullMethod, row, req)
	if err != nil {
		return nil, err
	}
	defer leave()
	if stale(req) {
		return s.serve(ctx, req, info.FullMethod, row, handler)
	}
	hangUp, err := enter(ctx, req)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	leader, err := s.target(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	if leader == "" {
		return s.serve(ctx, req, info.FullMethod, row, handler)
	}
	return s.forward.unary(ctx, leader, info.FullMethod, req)
}

// stream is the interceptor that lets streams in, and passes them on.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, row, err := s.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	usage, err := s.countStream(ctx, info.FullMethod)
	if err != nil {
		return err
	}
	defer usage.leave()
	g := &guarded{ServerStream: ss, ctx: ctx, server: s, usage: usage, method: info.FullMethod}
	leader, err := s.target(ctx, info.FullMethod)
	if err != nil {
		return err
	}
	switch {
	case local(info.FullMethod):
		return s.serveStream(g, row, func(ss grpc.ServerStream) error { return s.attend(srv, ss, handler) })
	case leader == "":
		return s.serveStream(g, row, func(ss grpc.ServerStream) error { return handler(srv, ss) })
	}
	return s.forward.stream(g, leader, info)
}

// attend serves a stream of this node until Stop drains: a watch of health has no other
// end.
func (s *Server) attend(srv any, ss grpc.ServerStream, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	s.running.Go(func() {
		select {
		case <-s.draining:
			cancel()
		case <-ctx.Done():
		}
	})
	return handler(srv, bounded{ss, ctx})
}

// bounded is a stream whose context ends sooner.
type bounded struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it is what the type is for
}

func (b bounded) Context() context.Context { return b.ctx }

package server

import (
	"context"
	"path"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/audit"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/rights"
)

// admit finds out who makes a call, on the node that the client is connected to, and refuses
// whoever must be known and is not. What it returns has the asker.
func (s *Server) admit(ctx context.Context, method string) (context.Context, row, error) {
	row, ok := s.methods[method]
	if !ok {
		s.cfg.Logger.ErrorContext(ctx, "refused: no row says who may do it", "method", method)
		return ctx, row, Error(coordv1.Reason_REASON_FORBIDDEN,
			method+": nobody may do it in this version; use another method", nil)
	}
	a, known, err := s.authenticate(ctx)
	ctx = context.WithValue(ctx, askerKey{}, a)
	switch {
	case row.open:
		return ctx, row, nil
	case err != nil:
		return ctx, row, s.unauthenticated(a, method, err.Error())
	case !known && s.cfg.Rights != nil:
		return ctx, row, s.unauthenticated(a, method, "no credentials")
	}
	return ctx, row, nil
}

func (s *Server) unauthenticated(a *asker, method, why string) error {
	s.record(a, method, need{}, audit.Unauthenticated, why, 0)
	return Error(coordv1.Reason_REASON_UNAUTHENTICATED, path.Base(method)+": "+why+
		"; give a token or a certificate that the credentials file has", nil)
}

// permit refuses a call that lacks one of its needs, on the node that serves it. Without
// rights there are none to lack.
func (s *Server) permit(ctx context.Context, method string, row row, req any) ([]need, error) {
	needs := row.fixed
	if row.of != nil {
		if needs = row.of(req); len(needs) == 0 {
			needs = []need{{rights.Admin, rights.Resource{Kind: nothing}}}
		}
	}
	a := askerOf(ctx)
	if n, why := s.lacking(a, needs); why != "" {
		s.record(a, method, *n, audit.Refused, why, 0)
		return needs, Error(coordv1.Reason_REASON_FORBIDDEN,
			path.Base(method)+": "+why+"; ask whoever keeps the credentials file", nil)
	}
	return needs, nil
}

// lacking is the first need that an asker lacks, and why; "" if there is none.
func (s *Server) lacking(a *asker, needs []need) (*need, string) {
	if s.cfg.Rights == nil {
		return nil, ""
	}
	for i := range needs {
		if ok, why := s.cfg.Rights.Decide(a.id.Principal, needs[i].verb, needs[i].on); !ok {
			return &needs[i], why
		}
	}
	return nil, ""
}

// serve is a unary call that this node serves.
func (s *Server) serve(ctx context.Context, req any, method string, row row, handler grpc.UnaryHandler) (any, error) {
	if row.open {
		return handler(ctx, req)
	}
	needs, err := s.permit(ctx, method, row, req)
	if err != nil {
		return nil, err
	}
	response, err := handler(ctx, req)
	s.served(ctx, method, row, needs, response, err)
	return response, err
}

// served records a call that was allowed.
func (s *Server) served(ctx context.Context, method string, row row, needs []need, response any, err error) {
	if s.cfg.Audit == nil {
		return
	}
	a, why := askerOf(ctx), ""
	if err != nil {
		why = status.Convert(err).Message()
	}
	if reasonIn(err) == coordv1.Reason_REASON_NOT_YOURS {
		s.record(a, method, need{}, audit.Refused, why, 0)
		return
	}
	if opened, ok := response.(*coordv1.OpenSessionResponse); row.opens && err == nil && ok {
		s.recordOpening(a, method, park.SessionID(opened.GetLease().GetSessionId()), a.index.Load())
	}
	s.recordAllowed(a, method, needs, why, a.index.Load())
}

// recordAllowed records the needs that are worth it.
func (s *Server) recordAllowed(a *asker, method string, needs []need, why string, index uint64) {
	for _, n := range needs {
		if n.verb == rights.Admin || s.cfg.Audit.All() {
			s.record(a, method, n, audit.Allowed, why, index)
		}
	}
}

func (s *Server) recordOpening(a *asker, method string, id park.SessionID, index uint64) {
	s.record(a, method, need{on: rights.Resource{Kind: rights.Session, Name: id.String()}}, audit.Allowed, "", index)
}

func (s *Server) record(a *asker, method string, n need, d audit.Decision, why string, index uint64) {
	if s.cfg.Audit == nil {
		return
	}
	e := audit.Entry{
		Principal: a.id.Principal, Address: a.address, Via: a.via, Method: method,
		Decision: d, Reason: clip(why, maxReason), Index: index,
	}
	if n.verb != 0 {
		e.Verb = n.verb.String()
	}
	if n.on.Kind != 0 && n.on.Kind != nothing {
		e.Resource = n.on.String()
	}
	s.cfg.Audit.Record(e)
}

// maxReason bounds a reason in the audit log: it may name what anybody could choose.
const maxReason = 1024 // bytes

// permitOps refuses the ops of a frame that the session's principal has no right to, each by
// itself: its seq must be spent, or those after it would be out of order, so that it goes into
// the log as one that only refuses. It returns what is to be recorded once the frame has an
// index. A retry of what was done before is answered by that all the same.
func (s *Server) permitOps(a *asker, f *machine.Frame) (allowed []need) {
	if s.cfg.Rights == nil && s.cfg.Audit == nil {
		return nil
	}
	var room [4]need
	for i := range f.Ops {
		op := &f.Ops[i]
		needs := needsOf(room[:0], op)
		if n, why := s.lacking(a, needs); why != "" {
			s.record(a, coordv1.SessionService_Attach_FullMethodName, *n, audit.Refused, why, 0)
			*op = s.refusing(op.Seq)
			continue
		}
		if s.cfg.Audit == nil {
			continue
		}
		for _, n := range needs {
			if n.verb == rights.Admin || s.cfg.Audit.All() {
				allowed = append(allowed, n)
			}
		}
	}
	return allowed
}

// refusing is the op that takes the place of one that is refused. Where nodes are not all of a
// version that knows it, it is one that gets INVALID.
func (s *Server) refusing(seq park.Seq) machine.Op {
	if s.cfg.Replica.State().Version < machine.VersionOfRefuse {
		return machine.Op{Seq: seq, Do: machine.DoResize}
	}
	return machine.Op{Seq: seq, Do: machine.DoRefuse}
}

// A guarded is a stream whose client is looked at again with each message: its token may expire
// meanwhile, and its rights may be taken away.
type guarded struct {
	grpc.ServerStream
	ctx    context.Context //nolint:containedctx // it is what the type is for
	server *Server
	usage  *streamUsage
	method string
	of     func(req any) []need // of the first message; nil if it needs nothing, or is served elsewhere
	needs  []need
}

// Context implements grpc.ServerStream.
func (g *guarded) Context() context.Context { return g.ctx }

// RecvMsg implements grpc.ServerStream.
func (g *guarded) RecvMsg(m any) error {
	if err := g.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if err := g.usage.hear(m); err != nil {
		return err
	}
	if g.of != nil && g.needs == nil {
		needs, err := g.server.permit(g.ctx, g.method, row{of: g.of}, m)
		if err != nil {
			return err
		}
		g.needs = needs
		g.server.recordAllowed(askerOf(g.ctx), g.method, needs, "", 0)
	}
	return g.still()
}

// SendMsg implements grpc.ServerStream.
func (g *guarded) SendMsg(m any) error {
	if err := g.still(); err != nil {
		return err
	}
	if n, why := g.server.lacking(askerOf(g.ctx), g.needs); why != "" {
		g.server.record(askerOf(g.ctx), g.method, *n, audit.Refused, why, 0)
		return Error(coordv1.Reason_REASON_FORBIDDEN, path.Base(g.method)+": "+why+"; ask whoever keeps the credentials file", nil)
	}
	return g.ServerStream.SendMsg(m)
}

func (g *guarded) still() error {
	if g.server.cfg.Rights == nil {
		return nil
	}
	a := askerOf(g.ctx)
	if err := g.server.cfg.Rights.Still(a.id); err != nil {
		return g.server.unauthenticated(a, g.method, err.Error())
	}
	return nil
}

// serveStream is a stream that this node serves.
func (s *Server) serveStream(g *guarded, row row, serve func(grpc.ServerStream) error) error {
	if row.open {
		return serve(g)
	}
	if row.of == nil {
		if _, err := s.permit(g.ctx, g.method, row, nil); err != nil {
			return err
		}
	}
	g.of = row.of
	err := serve(g)
	s.served(g.ctx, g.method, row, row.fixed, nil, err)
	return err
}

package server

import (
	"context"
	"crypto/rand"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// sessions implements coordv1.SessionServiceServer. Its methods run on the leader only:
// interceptors have passed on every other call.
type sessions struct {
	coordv1.UnimplementedSessionServiceServer
	*Server
}

// ListSessions implements coordv1.SessionServiceServer.
func (s *sessions) ListSessions(ctx context.Context, _ *coordv1.ListSessionsRequest) (*coordv1.ListSessionsResponse, error) {
	result, err := s.read(ctx, "list sessions", &machine.Sessions{})
	if err != nil {
		return nil, err
	}
	list, ok := result.(machine.SessionList)
	if !ok {
		return nil, unexpected("list sessions", result)
	}
	return sessionsOf(list), nil
}

// RevokeSession implements coordv1.SessionServiceServer.
func (s *sessions) RevokeSession(ctx context.Context, req *coordv1.RevokeSessionRequest) (*coordv1.RevokeSessionResponse, error) {
	id := park.SessionID(req.GetSessionId())
	if id == 0 {
		return nil, invalid("revoke: session_id is 0; name a session")
	}
	what := "revoke " + id.String()
	const next = "list the sessions, and revoke it again if it is there and not revoked"
	result, err := s.propose(ctx, what, next, &machine.Revoke{Session: id, Now: req.GetNow()})
	if err != nil {
		return nil, err
	}
	switch result {
	case park.Done:
		return &coordv1.RevokeSessionResponse{}, nil
	case park.NotFound:
		return nil, Error(coordv1.Reason_REASON_NOT_FOUND,
			what+": there is no such session; list the sessions", nil)
	default:
		return nil, unexpected(what, result)
	}
}

// OpenSession implements coordv1.SessionServiceServer. The secret is drawn here, on the
// leader, and the log has its hash only.
func (s *sessions) OpenSession(ctx context.Context, req *coordv1.OpenSessionRequest) (*coordv1.OpenSessionResponse, error) {
	const what = "open session"
	ttl, who, err := termsOf(what, ttlOf(req), req.GetWho())
	if err != nil {
		return nil, err
	}
	secret := make([]byte, secretLen)
	_, _ = rand.Read(secret) // never fails
	const next = "open another: one that was opened expires"
	result, err := s.propose(ctx, what, next, &machine.Open{Secret: bind(ctx, secretOf(secret)), TTL: ttl, Who: who})
	if err != nil {
		return nil, err
	}
	opened, ok := result.(machine.Opened)
	switch {
	case !ok:
		return nil, unexpected(what, result)
	case opened.Refusal == machine.RefusedRestored:
		return nil, errRestored(what, opened.Wait)
	case opened.Refusal != 0:
		return nil, refusalOf(what, opened.Refusal)
	}
	return &coordv1.OpenSessionResponse{
		Lease: &coordv1.Lease{SessionId: uint64(opened.Session), Secret: secret},
		Ttl:   durationOf(ttl),
	}, nil
}

// CloseSession implements coordv1.SessionServiceServer. Of a session that is over there is
// nothing left to close.
func (s *sessions) CloseSession(ctx context.Context, req *coordv1.CloseSessionRequest) (*coordv1.CloseSessionResponse, error) {
	const what = "close session"
	c, err := leaseOf(what, req.GetLease())
	if err != nil {
		return nil, err
	}
	c.Op.Do = machine.DoLeave
	if err := s.change(ctx, what, c); err != nil && reasonIn(err) != coordv1.Reason_REASON_SESSION_OVER {
		return nil, err
	}
	return &coordv1.CloseSessionResponse{}, nil
}

// CancelCall implements coordv1.SessionServiceServer.
func (s *sessions) CancelCall(ctx context.Context, req *coordv1.CancelCallRequest) (*coordv1.CancelCallResponse, error) {
	if err := s.endCall(ctx, "cancel", req.GetLease(), "request_id", req.GetRequestId()); err != nil {
		return nil, err
	}
	return &coordv1.CancelCallResponse{}, nil
}

// propose returns the result of a command that changes something and has no request id; next
// is what to do if its outcome is unknown.
func (s *Server) propose(ctx context.Context, what, next string, c machine.Command) (any, error) {
	index, result, err := s.cfg.Log.Propose(ctx, machine.AppendCommand(nil, c))
	noteIndex(ctx, index)
	if err != nil {
		return nil, proposalError(ctx, what, next, s.leaderHint(), err)
	}
	return result, nil
}

// read returns the result of a command that changes nothing, so that asking again is
// harmless however it failed.
func (s *Server) read(ctx context.Context, what string, c machine.Command) (any, error) {
	_, result, err := s.cfg.Log.Propose(ctx, machine.AppendCommand(nil, c))
	if err != nil {
		return nil, callFailed(what, s.leaderHint(), err)
	}
	return result, nil
}

// unexpected is the status of an answer that the machine does not give.
func unexpected(what string, result any) error {
	return status.Errorf(codes.Internal, "%s: the machine answered %T %v", what, result, result)
}

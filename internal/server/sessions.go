package server

import (
	"context"
	"fmt"

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
	result, err := s.propose(ctx, "list sessions", &machine.Sessions{})
	if err != nil {
		return nil, err
	}
	list, ok := result.(machine.SessionList)
	if !ok {
		return nil, status.Errorf(codes.Internal, "list sessions: the machine answered %T", result)
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
	result, err := s.propose(ctx, what, &machine.Revoke{Session: id, Now: req.GetNow()})
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
		return nil, status.Error(codes.Internal, fmt.Sprintf("%s: the machine answered %v", what, result))
	}
}

// propose returns the result of a command of a unary call.
func (s *Server) propose(ctx context.Context, what string, c machine.Command) (any, error) {
	_, result, err := s.cfg.Log.Propose(ctx, machine.AppendCommand(nil, c))
	if err != nil {
		return nil, proposalError(ctx, what, s.leaderHint(), err)
	}
	return result, nil
}

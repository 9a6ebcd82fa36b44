package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
)

// locks implements coordv1.LockServiceServer, on the leader only.
type locks struct {
	coordv1.UnimplementedLockServiceServer
	*Server
}

// Lock implements coordv1.LockServiceServer.
func (l *locks) Lock(ctx context.Context, req *coordv1.LockRequest) (*coordv1.LockResponse, error) {
	what := "lock"
	if names := req.GetNames(); len(names) > 0 {
		what = aboutMore(what, names[0], len(names)-1)
	}
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	arms, err := lockArms(what, req.GetNames(), req.GetShared())
	if err != nil {
		return nil, err
	}
	if c.Op, err = waitOf(ctx, what, req, req.GetLockDelay(), arms...); err != nil {
		return nil, err
	}
	token, err := l.hold(ctx, what, c)
	if err != nil {
		return nil, err
	}
	return &coordv1.LockResponse{Token: uint64(token)}, nil
}

// Unlock implements coordv1.LockServiceServer.
func (l *locks) Unlock(ctx context.Context, req *coordv1.UnlockRequest) (*coordv1.UnlockResponse, error) {
	if err := l.endCall(ctx, "unlock", req.GetLease(), "request_id", req.GetRequestId()); err != nil {
		return nil, err
	}
	return &coordv1.UnlockResponse{}, nil
}

// endCall ends the call of a request id, which the request has under the name of field: a
// wait leaves, a hold is released.
func (s *Server) endCall(ctx context.Context, what string, lease *coordv1.Lease, field, request string) error {
	c, err := leaseOf(what, lease)
	if err != nil {
		return err
	}
	if err := checkRequest(what, field, request); err != nil {
		return err
	}
	c.Request, c.Op.Do = request, machine.DoEnd
	return s.change(ctx, what, c)
}

package server

import (
	"context"
	"fmt"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/park"
)

// selects implements coordv1.SelectServiceServer, on the leader only.
type selects struct {
	coordv1.UnimplementedSelectServiceServer
	*Server
}

// Select implements coordv1.SelectServiceServer.
func (s *selects) Select(ctx context.Context, req *coordv1.SelectRequest) (*coordv1.SelectResponse, error) {
	what := aboutArms("select", req.GetArms())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	arms, err := selectArms(what, req.GetArms())
	if err != nil {
		return nil, err
	}
	if c.Op, err = waitOf(ctx, what, req, req.GetLockDelay(), arms...); err != nil {
		return nil, err
	}
	if c.Op.Wait.Commit = park.Any; req.GetInOrder() {
		c.Op.Wait.Commit = park.First
	}
	o, err := s.expect(ctx, what, c, park.Granted, park.Done)
	if err != nil {
		return nil, err
	}
	return selectedOf(&o, arms), nil
}

// selectedOf is what a select came to. A retry may have other arms than the call.
func selectedOf(o *outcome, arms []park.Arm) *coordv1.SelectResponse {
	out := &coordv1.SelectResponse{Arm: o.arm, Token: uint64(o.token), Data: []byte(o.data)}
	switch {
	case int(o.arm) >= len(arms):
	case arms[o.arm].On.Kind == park.KindOnce:
		out.End = onceEnd(o)
	case arms[o.arm].On.Kind == park.KindChan:
		out.Attempt = o.value
	}
	return out
}

// LockAll implements coordv1.SelectServiceServer.
func (s *selects) LockAll(ctx context.Context, req *coordv1.LockAllRequest) (*coordv1.LockAllResponse, error) {
	what := aboutArms("lock all", req.GetArms())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	arms, err := allArms(what, req.GetArms())
	if err != nil {
		return nil, err
	}
	if c.Op, err = waitOf(ctx, what, req, req.GetLockDelay(), arms...); err != nil {
		return nil, err
	}
	token, err := s.hold(ctx, what, c)
	if err != nil {
		return nil, err
	}
	return &coordv1.LockAllResponse{Token: uint64(token)}, nil
}

// aboutArms is about the first arm, and how many more there are.
func aboutArms(verb string, arms []*coordv1.Arm) string {
	if len(arms) == 0 {
		return verb
	}
	return aboutMore(verb, arms[0].GetName(), len(arms)-1)
}

// aboutMore is about that says how many more names there are.
func aboutMore(verb, name string, more int) string {
	what := about(verb, name)
	if more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	return what
}

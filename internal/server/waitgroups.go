package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// waitGroups implements coordv1.WaitGroupServiceServer, on the leader only.
type waitGroups struct {
	coordv1.UnimplementedWaitGroupServiceServer
	*Server
}

// Add implements coordv1.WaitGroupServiceServer.
func (s *waitGroups) Add(ctx context.Context, req *coordv1.AddRequest) (*coordv1.AddResponse, error) {
	what := about("add to", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	if err := checkName(what, req.GetName()); err != nil {
		return nil, err
	}
	c.Op = machine.Op{Do: machine.DoAdd, On: named(park.KindWaitGroup, req.GetName()), N: int64(req.GetDelta())}
	o, err := s.expect(ctx, what, c, park.Done)
	if err != nil {
		return nil, err
	}
	return &coordv1.AddResponse{Count: o.value}, nil
}

// Wait implements coordv1.WaitGroupServiceServer.
func (s *waitGroups) Wait(ctx context.Context, req *coordv1.WaitRequest) (*coordv1.WaitResponse, error) {
	what := about("wait for", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	if err := checkName(what, req.GetName()); err != nil {
		return nil, err
	}
	arm := park.Arm{On: named(park.KindWaitGroup, req.GetName()), N: 1}
	if c.Op, err = waitOf(ctx, what, req, nil, arm); err != nil {
		return nil, err
	}
	if err := s.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.WaitResponse{}, nil
}

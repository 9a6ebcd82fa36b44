package server

import (
	"context"
	"math"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// conds implements coordv1.CondServiceServer, on the leader only.
type conds struct {
	coordv1.UnimplementedCondServiceServer
	*Server
}

// AwaitSignal implements coordv1.CondServiceServer.
func (s *conds) AwaitSignal(ctx context.Context, req *coordv1.AwaitSignalRequest) (*coordv1.AwaitSignalResponse, error) {
	what := about("await signal of", req.GetName())
	c, err := aboutOf(what, req.GetLease(), req.GetRequestId(), "hold", req.GetHold())
	if err != nil {
		return nil, err
	}
	if err := checkName(what, req.GetName()); err != nil {
		return nil, err
	}
	if !park.ValidName(req.GetLock()) {
		return nil, invalid("%s: lock is not the name of one; give that of the lock which hold has", what)
	}
	arm := park.Arm{On: named(park.KindCond, req.GetName()), N: 1, Value: req.GetLock()}
	if c.Op, err = waitOf(ctx, what, req, nil, arm); err != nil {
		return nil, err
	}
	c.Op.Do = machine.DoAwait
	token, err := s.hold(ctx, what, c)
	if err != nil {
		return nil, err
	}
	return &coordv1.AwaitSignalResponse{Token: uint64(token)}, nil
}

// Signal implements coordv1.CondServiceServer.
func (s *conds) Signal(ctx context.Context, req *coordv1.SignalRequest) (*coordv1.SignalResponse, error) {
	woken, err := s.wake(ctx, "signal", req, 1)
	if err != nil {
		return nil, err
	}
	return &coordv1.SignalResponse{Woken: woken}, nil
}

// Broadcast implements coordv1.CondServiceServer.
func (s *conds) Broadcast(ctx context.Context, req *coordv1.BroadcastRequest) (*coordv1.BroadcastResponse, error) {
	woken, err := s.wake(ctx, "broadcast", req, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	return &coordv1.BroadcastResponse{Woken: woken}, nil
}

// wake wakes at most n who wait, and says how many those were.
func (s *conds) wake(ctx context.Context, verb string, req interface {
	GetLease() *coordv1.Lease
	GetRequestId() string
	GetName() string
}, n int64) (int64, error) {
	what := about(verb, req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return 0, err
	}
	if err := checkName(what, req.GetName()); err != nil {
		return 0, err
	}
	c.Op = machine.Op{Do: machine.DoSignal, On: named(park.KindCond, req.GetName()), N: n}
	o, err := s.expect(ctx, what, c, park.Done)
	return o.value, err
}

package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/latch"
)

// onces implements coordv1.OnceServiceServer, on the leader only.
type onces struct {
	coordv1.UnimplementedOnceServiceServer
	*Server
}

// Begin implements coordv1.OnceServiceServer.
func (s *onces) Begin(ctx context.Context, req *coordv1.BeginRequest) (*coordv1.BeginResponse, error) {
	what := about("begin", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	if err := checkName(what, req.GetName()); err != nil {
		return nil, err
	}
	if c.Op, err = waitOf(ctx, what, req, nil, onceArm(req.GetName(), req.GetResultOnly())); err != nil {
		return nil, err
	}
	o, err := s.expect(ctx, what, c, park.Granted, park.Done)
	if err != nil {
		return nil, err
	}
	return &coordv1.BeginResponse{Token: uint64(o.token), End: onceEnd(&o), Result: []byte(o.data)}, nil
}

// onceEnd is how a once ended, of what may be something else.
func onceEnd(o *outcome) coordv1.OnceEnd {
	if o.code != park.Done || o.value < latch.Returned || o.value > latch.Panicked {
		return coordv1.OnceEnd_ONCE_END_UNSPECIFIED
	}
	return coordv1.OnceEnd(o.value) // the values are the wire's
}

// Complete implements coordv1.OnceServiceServer.
func (s *onces) Complete(ctx context.Context, req *coordv1.CompleteRequest) (*coordv1.CompleteResponse, error) {
	const what = "complete"
	c, err := aboutOf(what, req.GetLease(), req.GetRequestId(), "run", req.GetRun())
	if err != nil {
		return nil, err
	}
	if err := checkSize(what, "result", len(req.GetResult()), latch.MaxResult); err != nil {
		return nil, err
	}
	c.Op.Do, c.Op.Value = machine.DoComplete, string(req.GetResult())
	if c.Op.N, err = endOf(what, req.GetEnd()); err != nil {
		return nil, err
	}
	if err := s.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.CompleteResponse{}, nil
}

// Abandon implements coordv1.OnceServiceServer.
func (s *onces) Abandon(ctx context.Context, req *coordv1.AbandonRequest) (*coordv1.AbandonResponse, error) {
	if err := s.endCall(ctx, "abandon", req.GetLease(), "run", req.GetRun()); err != nil {
		return nil, err
	}
	return &coordv1.AbandonResponse{}, nil
}

package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/lock"
)

// semaphores implements coordv1.SemaphoreServiceServer, on the leader only.
type semaphores struct {
	coordv1.UnimplementedSemaphoreServiceServer
	*Server
}

// Acquire implements coordv1.SemaphoreServiceServer.
func (s *semaphores) Acquire(ctx context.Context, req *coordv1.AcquireRequest) (*coordv1.AcquireResponse, error) {
	what := about("acquire", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	arm, err := permits(what, req)
	if err != nil {
		return nil, err
	}
	if c.Op, err = waitOf(ctx, what, req, nil, arm); err != nil {
		return nil, err
	}
	if _, err := s.hold(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.AcquireResponse{}, nil
}

func permits(what string, req *coordv1.AcquireRequest) (park.Arm, error) {
	if err := checkName(what, req.GetName()); err != nil {
		return park.Arm{}, err
	}
	if err := checkPermits(what, req.GetCount(), req.GetLimit()); err != nil {
		return park.Arm{}, err
	}
	return park.Arm{
		On: park.Object{Kind: park.KindSemaphore, Name: req.GetName()},
		N:  max(req.GetCount(), 1), Limit: req.GetLimit(),
	}, nil
}

// Release implements coordv1.SemaphoreServiceServer.
func (s *semaphores) Release(ctx context.Context, req *coordv1.ReleaseRequest) (*coordv1.ReleaseResponse, error) {
	const what = "release"
	if err := checkCount(what, "count", req.GetCount()); err != nil {
		return nil, err
	}
	if req.GetCount() == 0 {
		if err := s.endCall(ctx, what, req.GetLease(), "hold", req.GetHold()); err != nil {
			return nil, err
		}
		return &coordv1.ReleaseResponse{}, nil
	}
	c, err := aboutOf(what, req.GetLease(), req.GetRequestId(), "hold", req.GetHold())
	if err != nil {
		return nil, err
	}
	c.Op.Do, c.Op.N = machine.DoRelease, req.GetCount()
	if err := s.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.ReleaseResponse{}, nil
}

// Resize implements coordv1.SemaphoreServiceServer.
func (s *semaphores) Resize(ctx context.Context, req *coordv1.ResizeRequest) (*coordv1.ResizeResponse, error) {
	what := about("resize", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	if err := checkName(what, req.GetName()); err != nil {
		return nil, err
	}
	if limit := req.GetLimit(); limit < 1 || limit > lock.MaxPermits {
		return nil, invalid("%s: limit is %d; choose 1 to %d", what, limit, lock.MaxPermits)
	}
	c.Op = machine.Op{
		Do: machine.DoResize, N: req.GetLimit(),
		On: park.Object{Kind: park.KindSemaphore, Name: req.GetName()},
	}
	if err := s.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.ResizeResponse{}, nil
}

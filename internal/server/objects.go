package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
)

// objects implements coordv1.ObjectServiceServer, on the leader only.
type objects struct {
	coordv1.UnimplementedObjectServiceServer
	*Server
}

// DeleteObject implements coordv1.ObjectServiceServer.
func (s *objects) DeleteObject(ctx context.Context, req *coordv1.DeleteObjectRequest) (*coordv1.DeleteObjectResponse, error) {
	what := about("delete", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	c.Op.Do = machine.DoDelete
	if c.Op.On, err = objectOf(what, req.GetKind(), req.GetName()); err != nil {
		return nil, err
	}
	if err := s.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.DeleteObjectResponse{}, nil
}

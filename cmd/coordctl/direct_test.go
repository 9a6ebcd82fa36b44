package main

import (
	"context"
	"errors"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
)

// Only a try that a node may have carried out makes a later "not found" ambiguous.
func TestMayHaveHappened(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), true},
		{status.Error(codes.Unavailable, "error reading from server: EOF"), true},
		{status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`), false},
		{server.Error(coordv1.Reason_REASON_NO_LEADER, "no leader", nil), false},
		{status.Error(codes.InvalidArgument, "x"), false},
		{errors.New("x"), false},
	} {
		if got := mayHaveHappened(tc.err); got != tc.want {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
}

// The words that tell are gRPC's own: this is what it says when nobody listens.
func TestNobodyListensIsNotHappened(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = lis.Close()
	err = node(t.Context(), lis.Addr().String(), func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := coordv1.NewClusterServiceClient(conn).Status(ctx, &coordv1.StatusRequest{})
		return err
	})
	if status.Code(err) != codes.Unavailable || mayHaveHappened(err) {
		t.Errorf("%v: may have happened: %v", err, mayHaveHappened(err))
	}
}

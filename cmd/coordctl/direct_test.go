package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// hanging is a node that gets what it is asked and dies before it answers.
type hanging struct {
	coordv1.UnimplementedSessionServiceServer
	die func()
}

func (h *hanging) RevokeSession(ctx context.Context, _ *coordv1.RevokeSessionRequest) (*coordv1.RevokeSessionResponse, error) {
	h.die()
	<-ctx.Done()
	return nil, ctx.Err()
}

// A change that was cut off may have happened, and that is said.
func TestRevokeCutOff(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	coordv1.RegisterSessionServiceServer(s, &hanging{die: func() { go s.Stop() }})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(lis) }) // until die
	defer serving.Wait()
	a := &app{endpoints: lis.Addr().String(), timeout: duration(time.Minute), stderr: io.Discard}
	err = a.revokeSession(t.Context(), 42, true)
	if f, _ := errors.AsType[*failure](err); f == nil || f.code != exitUnavailable || f.next != outcomeUnknown {
		t.Errorf("%v", err)
	}
}

// The words that tell are gRPC's own: this is what it says when nobody listens at an
// address, which is kept from others meanwhile.
func TestNobodyListensIsNotHappened(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	err = node(t.Context(), addr, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := coordv1.NewClusterServiceClient(conn).Status(ctx, &coordv1.StatusRequest{})
		return err
	})
	if status.Code(err) != codes.Unavailable || mayHaveHappened(err) {
		t.Errorf("%v: may have happened: %v", err, mayHaveHappened(err))
	}
}

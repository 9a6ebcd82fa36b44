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

// Of the errors of several nodes the one that says most is told.
func TestTelling(t *testing.T) {
	refused := status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`)
	demands := status.Error(codes.Unavailable, `error reading from server: remote error: tls: certificate required`)
	nobody := server.Error(coordv1.Reason_REASON_UNAUTHENTICATED, "no credentials", nil)
	if telling(refused) >= telling(demands) || telling(demands) >= telling(nobody) {
		t.Errorf("refused %d, TLS %d, coordd %d", telling(refused), telling(demands), telling(nobody))
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

// deafAddress is where nobody listens, and nobody else can.
func deafAddress(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// leaderless is a node that knows no leader.
type leaderless struct {
	coordv1.UnimplementedSessionServiceServer
}

func (leaderless) ListSessions(context.Context, *coordv1.ListSessionsRequest) (*coordv1.ListSessionsResponse, error) {
	return nil, server.Error(coordv1.Reason_REASON_NO_LEADER, "list sessions: no leader is known", nil)
}

// What a node says goes before what the network says of others.
func TestNoLeaderAmongNodesThatAreGone(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	coordv1.RegisterSessionServiceServer(s, leaderless{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(lis) }) // until Stop
	defer serving.Wait()
	defer s.Stop()
	gone := deafAddress(t)
	for _, endpoints := range []string{lis.Addr().String() + "," + gone, gone + "," + lis.Addr().String()} {
		a := &app{endpoints: endpoints, timeout: duration(time.Minute)}
		err := a.anyNode(t.Context(), "list sessions", func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := coordv1.NewSessionServiceClient(conn).ListSessions(ctx, &coordv1.ListSessionsRequest{})
			return err
		})
		f, _ := errors.AsType[*failure](err)
		if f == nil || f.code != exitUnavailable || f.why != "no leader is known" {
			t.Errorf("%s: %v", endpoints, err)
		}
	}
}

// The words that tell are gRPC's own: this is what it says when nobody listens at an
// address.
func TestNobodyListensIsNotHappened(t *testing.T) {
	err := new(app).node(t.Context(), deafAddress(t), func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := coordv1.NewClusterServiceClient(conn).Status(ctx, &coordv1.StatusRequest{})
		return err
	})
	if status.Code(err) != codes.Unavailable || mayHaveHappened(err) {
		t.Errorf("%v: may have happened: %v", err, mayHaveHappened(err))
	}
}

package client_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
)

// A scripted node leads a cluster of its own, and does on a stream what a test says.
type scripted struct {
	coordv1.UnimplementedSessionServiceServer
	coordv1.UnimplementedClusterServiceServer
	stream func(attach *coordv1.Attach, s coordv1.SessionService_AttachServer) error // after Attached
	attach func() error                                                              // before Attached; nil: nothing
	status func()                                                                    // nil: nothing
	opened atomic.Uint64                                                             // sessions, which are counted
}

// Renew says that every session is over.
func (n *scripted) Renew(_ context.Context, req *coordv1.RenewRequest) (*coordv1.RenewResponse, error) {
	return &coordv1.RenewResponse{Renewals: slices.Repeat([]coordv1.Renewal{coordv1.Renewal_RENEWAL_OVER}, len(req.GetLeases()))}, nil
}

// dial opens a session at the node, in a bubble.
func (n *scripted) dial(t *testing.T, opts ...client.Option) *client.Client {
	t.Helper()
	lis := bufconn.Listen(1 << 16)
	srv := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second}))
	coordv1.RegisterSessionServiceServer(srv, n)
	coordv1.RegisterClusterServiceServer(srv, n)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	opts = append(opts, client.WithDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	c, err := client.Dial(t.Context(), "127.0.0.1:1", append(opts, client.WithTTL(time.Hour))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (n *scripted) Status(context.Context, *coordv1.StatusRequest) (*coordv1.StatusResponse, error) {
	if n.status != nil {
		n.status()
	}
	return &coordv1.StatusResponse{ClusterId: "c1", Leading: true, Ready: true}, nil
}

func (n *scripted) Attach(s coordv1.SessionService_AttachServer) error {
	req, err := s.Recv()
	if err != nil {
		return err
	}
	if n.attach != nil {
		if err := n.attach(); err != nil {
			return err
		}
	}
	attached := &coordv1.Attached{SessionId: req.GetAttach().GetSessionId()}
	if attached.SessionId == 0 {
		attached.SessionId = n.opened.Add(1)
	}
	if err := s.Send(&coordv1.AttachResponse{Frame: &coordv1.AttachResponse_Attached{Attached: attached}}); err != nil {
		return err
	}
	return n.stream(req.GetAttach(), s)
}

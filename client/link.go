package client

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
)

const (
	// windowBytes keeps gRPC's flow control from being what bounds a busy stream.
	windowBytes = 1 << 20

	// probeTimeout bounds a Status call, which never waits in the node.
	probeTimeout = time.Second

	// A node that vanished is noticed by TCP after lostAfter if something is unsent to
	// it, else by a ping after pingAfter, which is the shortest that gRPC has.
	pingAfter = 10 * time.Second
	lostAfter = 3 * time.Second
)

// A link is a gRPC connection to one node. It is made anew, not repaired: when one
// fails, where the leader is has to be found out again anyway.
type link struct {
	addr    string
	cc      *grpc.ClientConn
	ear     ear
	dialled atomic.Pointer[error] // the last error of the dialler
	leads   bool                  // it led when it was chosen
	around  string                // else: the leader that could not be reached then
	cluster string                // as the node said when it was chosen
}

// stale reports whether there is a better link to use, by what the node says now.
func (l *link) stale(st *coordv1.StatusResponse) bool {
	if l.leads {
		return !st.GetLeading()
	}
	return st.GetLeaderAddress() != l.around
}

func (n network) link(addr string) (*link, error) {
	if err := n.permits(addr); err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if n.tls != nil {
		creds = credentials.NewTLS(n.tls)
	}
	l := &link{addr: addr}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := n.dial(ctx, addr)
			if err != nil {
				l.dialled.Store(&err)
			}
			return conn, err
		}),
		grpc.WithInitialWindowSize(windowBytes),
		grpc.WithInitialConnWindowSize(windowBytes),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: lostAfter}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		// OpenTelemetry's global providers: the program's, which knows nothing of this one.
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
		grpc.WithStatsHandler(&l.ear),
	}
	if n.token != nil {
		options = append(options, grpc.WithPerRPCCredentials(n.token))
	}
	cc, err := grpc.NewClient("passthrough:///"+addr, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	l.cc = cc
	return l, nil
}

// status asks the node what it knows of the cluster.
func (l *link) status(ctx context.Context) (*coordv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return coordv1.NewClusterServiceClient(l.cc).Status(ctx, &coordv1.StatusRequest{})
}

// ask asks until there is an answer, another failure than silence, or ctx ends.
func (l *link) ask(ctx context.Context) (*coordv1.StatusResponse, error) {
	for {
		st, err := l.status(ctx)
		if status.Code(err) != codes.DeadlineExceeded || ctx.Err() != nil {
			return st, err
		}
	}
}

// fault says why err came of using l.
func (l *link) fault(err error) string {
	var dialled error
	if p := l.dialled.Load(); p != nil {
		dialled = *p
	}
	return fault(err, dialled)
}

// close is idempotent. Its error says only that it was closed before.
func (l *link) close() { _ = l.cc.Close() }

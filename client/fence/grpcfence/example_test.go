package grpcfence_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"coordd.dev/client"
	"coordd.dev/client/fence"
	"coordd.dev/client/fence/grpcfence"
)

// billing stands for your service, and its Check for a call that writes.
type billing struct {
	healthv1.UnimplementedHealthServer
	guard fence.Guard
}

func (b *billing) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	token, _ := client.TokenFrom(ctx) // 0 if there was none: refused
	if err := b.guard.Check("orders/42", token); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &healthv1.HealthCheckResponse{}, nil
}

// The token goes with the call, and the service that owns the data checks it.
func Example() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := grpc.NewServer(grpc.ChainUnaryInterceptor(grpcfence.UnaryServer), grpc.ChainStreamInterceptor(grpcfence.StreamServer))
	healthv1.RegisterHealthServer(srv, &billing{})
	go srv.Serve(l) //nolint:errcheck // until Stop
	defer srv.Stop()

	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(grpcfence.UnaryClient), grpc.WithChainStreamInterceptor(grpcfence.StreamClient))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	// Each stands for mu.Do(ctx, func(ctx context.Context, _ client.Token) error { ... }).
	for _, token := range []client.Token{41, 42, 41} {
		ctx := client.ContextWithToken(context.Background(), token)
		_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// rpc error: code = FailedPrecondition desc = orders/42: stale fencing token 41: 42 was seen
}

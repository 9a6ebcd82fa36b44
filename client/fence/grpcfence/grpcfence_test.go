package grpcfence_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"coordd.dev/client"
	"coordd.dev/client/fence"
	"coordd.dev/client/fence/grpcfence"
)

// A service is any with a call and a stream. It shows what token it finds in its ctx.
type service struct {
	healthv1.UnimplementedHealthServer
	found chan client.Token
}

func (s *service) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	s.found <- found(ctx)
	return &healthv1.HealthCheckResponse{}, nil
}

func (s *service) Watch(_ *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	s.found <- found(stream.Context())
	return nil
}

func found(ctx context.Context) client.Token {
	token, _ := client.TokenFrom(ctx)
	return token
}

// serve runs a service and returns a client of it; fenced says whether with the
// client's interceptors.
func serve(t *testing.T, fenced bool) (*service, healthv1.HealthClient) {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	srv := grpc.NewServer(grpc.ChainUnaryInterceptor(grpcfence.UnaryServer), grpc.ChainStreamInterceptor(grpcfence.StreamServer))
	s := &service{found: make(chan client.Token, 1)}
	healthv1.RegisterHealthServer(srv, s)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
	}
	if fenced {
		opts = append(opts, grpc.WithChainUnaryInterceptor(grpcfence.UnaryClient), grpc.WithChainStreamInterceptor(grpcfence.StreamClient))
	}
	conn, err := grpc.NewClient("passthrough:///service", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, healthv1.NewHealthClient(conn)
}

func watch(ctx context.Context, c healthv1.HealthClient) error {
	stream, err := c.Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if _, err = stream.Recv(); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func check(ctx context.Context, c healthv1.HealthClient) error {
	_, err := c.Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}

func TestTokenGoesAlong(t *testing.T) {
	s, c := serve(t, true)
	for name, call := range map[string]func(context.Context, healthv1.HealthClient) error{"unary": check, "stream": watch} {
		for _, step := range []struct {
			ctx  context.Context
			want client.Token
		}{
			{client.ContextWithToken(t.Context(), 41), 41},
			{client.ContextWithToken(client.ContextWithToken(t.Context(), 41), 42), 42},
			{t.Context(), 0},
			{client.ContextWithToken(t.Context(), 0), 0},
			// What passes metadata on must not make two of it.
			{client.ContextWithToken(metadata.AppendToOutgoingContext(t.Context(), "fencing-token", "7"), 41), 41},
		} {
			if err := call(step.ctx, c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := <-s.found; got != step.want {
				t.Errorf("%s: %v arrived, not %v", name, got, step.want)
			}
		}
	}
}

func TestOtherMetadataStays(t *testing.T) {
	ctx := metadata.AppendToOutgoingContext(t.Context(), "other", "x")
	var got metadata.MD
	invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		got, _ = metadata.FromOutgoingContext(ctx)
		return nil
	}
	if err := grpcfence.UnaryClient(client.ContextWithToken(ctx, 41), "/m", nil, nil, nil, invoke); err != nil {
		t.Fatal(err)
	}
	if v := got.Get("other"); len(v) != 1 || v[0] != "x" {
		t.Errorf("%v", got)
	}
	if v := got.Get(fence.Header); len(v) != 1 || v[0] != "41" { // the name is the header's
		t.Errorf("%v", got)
	}
	if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get(fence.Header)) != 0 {
		t.Errorf("the caller's metadata were changed: %v", md)
	}
}

func TestMalformedIsRefused(t *testing.T) {
	s, c := serve(t, false)
	for name, call := range map[string]func(context.Context, healthv1.HealthClient) error{"unary": check, "stream": watch} {
		for _, bad := range [][]string{{"forty"}, {"0"}, {"-1"}, {""}, {"9223372036854775808"}, {"41", "41"}} {
			ctx := t.Context()
			for _, v := range bad {
				ctx = metadata.AppendToOutgoingContext(ctx, "fencing-token", v)
			}
			err := call(ctx, c)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), "metadata fencing-token: ") {
				t.Errorf("%s %q: %v", name, bad, err)
			}
			select {
			case <-s.found:
				t.Errorf("%s %q was served", name, bad)
			default:
			}
		}
		if err := call(metadata.AppendToOutgoingContext(t.Context(), "fencing-token", "41"), c); err != nil {
			t.Fatal(err)
		}
		if got := <-s.found; got != 41 {
			t.Errorf("%s: %v arrived", name, got)
		}
	}
}

// Package grpcfence sends fencing tokens with gRPC calls, as package fence does with
// HTTP requests: in metadata of the name fencing-token, in decimal.
//
//	grpc.NewClient(target,
//		grpc.WithChainUnaryInterceptor(grpcfence.UnaryClient),
//		grpc.WithChainStreamInterceptor(grpcfence.StreamClient))
//
//	grpc.NewServer(
//		grpc.ChainUnaryInterceptor(grpcfence.UnaryServer),
//		grpc.ChainStreamInterceptor(grpcfence.StreamServer))
//
// The client's side sends the innermost token that the call's ctx carries. The server's
// puts it into the ctx of the call it serves, for [client.TokenFrom]; the check is the
// service's, where it writes. Tokens are accepted from callers you trust only: a forged
// great one would lock the resource for everyone.
package grpcfence

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"coordd.dev/client"
	"coordd.dev/client/fence/internal/carried"
)

// key is fence.Header as metadata has it.
const key = "fencing-token"

// Each is what its name says, in the form that gRPC wants.
var (
	_ grpc.UnaryClientInterceptor  = UnaryClient
	_ grpc.StreamClientInterceptor = StreamClient
	_ grpc.UnaryServerInterceptor  = UnaryServer
	_ grpc.StreamServerInterceptor = StreamServer
)

// UnaryClient sends the token of ctx with a call, in place of one in its metadata.
func UnaryClient(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(outgoing(ctx), method, req, reply, cc, opts...)
}

// StreamClient sends the token of ctx with a stream, once, as it begins.
func StreamClient(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return stream(outgoing(ctx), desc, cc, method, opts...)
}

// UnaryServer puts the token that came with a call into its ctx. A malformed one is
// refused with InvalidArgument. A call without one comes through, without a token,
// which every check refuses.
func UnaryServer(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, err := incoming(ctx)
	if err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

// StreamServer does for a stream what [UnaryServer] does for a call.
func StreamServer(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := incoming(s.Context())
	if err != nil {
		return err
	}
	return handle(srv, &stream{ServerStream: s, ctx: ctx})
}

// A stream is a ServerStream with another ctx.
type stream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it is what Context returns
}

func (s *stream) Context() context.Context { return s.ctx }

func outgoing(ctx context.Context) context.Context {
	token, _ := client.TokenFrom(ctx)
	if token == 0 {
		return ctx
	}
	md, _ := metadata.FromOutgoingContext(ctx) // a copy
	if md == nil {
		md = metadata.MD{}
	}
	md.Set(key, token.String())
	return metadata.NewOutgoingContext(ctx, md)
}

func incoming(ctx context.Context) (context.Context, error) {
	token, ok, err := carried.Token(metadata.ValueFromIncomingContext(ctx, key))
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "metadata %s: %v", key, err)
	}
	if !ok {
		return ctx, nil
	}
	return client.ContextWithToken(ctx, token), nil
}

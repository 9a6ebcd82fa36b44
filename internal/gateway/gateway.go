package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/textproto"
	"net/url"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/certs"
	"coordd.dev/internal/gateway/coordv1"
)

// pipeBytes is the buffer of the connection in memory, each way.
const pipeBytes = 256 << 10

// A Gateway is an http.Handler for /v1/, and the listener over which it reaches the gRPC
// server. Close it after that has stopped.
type Gateway struct {
	lis     *bufconn.Listener // of grpc's test package, and as good outside of tests
	lines   lines
	handler http.Handler
}

// New returns a Gateway whose Listener is yet to be served.
func New() (*Gateway, error) {
	g := &Gateway{lis: bufconn.Listen(pipeBytes)}
	for _, conn := range []**grpc.ClientConn{&g.lines.brief, &g.lines.long} {
		var err error
		if *conn, err = g.connect(); err != nil {
			return nil, errors.Join(fmt.Errorf("make gateway: %w", err), g.lines.close())
		}
	}
	ctx, mux := context.Background(), newMux()
	if err := errors.Join(
		coordv1.RegisterSessionServiceHandlerClient(ctx, mux, v1.NewSessionServiceClient(g.lines)),
		coordv1.RegisterLockServiceHandlerClient(ctx, mux, v1.NewLockServiceClient(g.lines)),
		coordv1.RegisterSemaphoreServiceHandlerClient(ctx, mux, v1.NewSemaphoreServiceClient(g.lines)),
		coordv1.RegisterElectionServiceHandlerClient(ctx, mux, v1.NewElectionServiceClient(g.lines)),
		coordv1.RegisterChannelServiceHandlerClient(ctx, mux, v1.NewChannelServiceClient(g.lines)),
		coordv1.RegisterWaitGroupServiceHandlerClient(ctx, mux, v1.NewWaitGroupServiceClient(g.lines)),
		coordv1.RegisterOnceServiceHandlerClient(ctx, mux, v1.NewOnceServiceClient(g.lines)),
		coordv1.RegisterCondServiceHandlerClient(ctx, mux, v1.NewCondServiceClient(g.lines)),
		coordv1.RegisterMapServiceHandlerClient(ctx, mux, v1.NewMapServiceClient(g.lines)),
		coordv1.RegisterSelectServiceHandlerClient(ctx, mux, v1.NewSelectServiceClient(g.lines)),
		coordv1.RegisterObjectServiceHandlerClient(ctx, mux, v1.NewObjectServiceClient(g.lines)),
		coordv1.RegisterInspectServiceHandlerClient(ctx, mux, v1.NewInspectServiceClient(g.lines)),
		coordv1.RegisterClusterServiceHandlerClient(ctx, mux, v1.NewClusterServiceClient(g.lines)),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("make gateway: %w", err), g.lines.close())
	}
	g.handler = guard(mux)
	return g, nil
}

func (g *Gateway) connect() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///gateway",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return g.lis.DialContext(ctx) }),
		// The server is this node's: what it says was bounded by the machine.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
	)
}

// lines are the connections to the server. Watches, and calls that may wait, can be as many
// as one takes, and what comes then waits, without a word, until one of them ends: renewals
// and releases must not.
type lines struct{ brief, long *grpc.ClientConn }

// Invoke implements grpc.ClientConnInterface.
func (l lines) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if _, waits := args.(interface{ GetWaitLimit() *durationpb.Duration }); waits {
		return l.long.Invoke(ctx, method, args, reply, opts...)
	}
	return l.brief.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (l lines) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return l.long.NewStream(ctx, desc, method, opts...)
}

func (l lines) close() error {
	var errs []error
	for _, conn := range []*grpc.ClientConn{l.brief, l.long} {
		if conn != nil {
			errs = append(errs, conn.Close())
		}
	}
	return errors.Join(errs...)
}

// Listener is what the node's gRPC server is to serve. Its connections are those of all
// HTTP clients.
func (g *Gateway) Listener() net.Listener { return g.lis }

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handler.ServeHTTP(w, r) }

// Close ends the RPCs under way and waits for none.
func (g *Gateway) Close() error {
	if err := errors.Join(g.lines.close(), g.lis.Close()); err != nil {
		return fmt.Errorf("close gateway: %w", err)
	}
	return nil
}

func newMux() *runtime.ServeMux {
	return runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler{&runtime.JSONPb{
			// The names of the .proto files, which messages use too; and each number, because a
			// token of 0 says something.
			MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
			// A field that nobody knows is a mistake, or a later version's.
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
		}}),
		runtime.WithIncomingHeaderMatcher(passedOn),
		runtime.WithMetadata(certificate),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(), // which takes a POST for a GET
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
	)
}

// certificate tells the server whose certificate came with the request, if it was verified.
// An Authorization header goes on by itself. No header can say what is said here: passedOn
// lets none through.
func certificate(_ context.Context, r *http.Request) metadata.MD {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	name, err := certs.Principal(r.TLS)
	if err != nil {
		name = "" // nobody's: it must not pass for none
	}
	return metadata.Pairs(certificateKey, url.PathEscape(name))
}

// certificateKey is internal/server's.
const certificateKey = "coordd-certificate"

// passedOn names the headers that go on with a call, as its metadata.
func passedOn(header string) (key string, ok bool) {
	switch textproto.CanonicalMIMEHeaderKey(header) {
	case "Traceparent", "Tracestate":
		return header, true
	default:
		return "", false
	}
}

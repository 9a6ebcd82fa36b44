package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/textproto"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	"coordd.dev/internal/gateway/coordv1"
)

// pipeBytes is the buffer of the connection in memory, each way.
const pipeBytes = 256 << 10

// A Gateway is an http.Handler for /v1/, and the listener over which it reaches the gRPC
// server. Close it after that has stopped.
type Gateway struct {
	lis     *bufconn.Listener // of grpc's test package, and as good outside of tests
	conn    *grpc.ClientConn
	handler http.Handler
}

// New returns a Gateway whose Listener is yet to be served.
func New() (*Gateway, error) {
	g := &Gateway{lis: bufconn.Listen(pipeBytes)}
	conn, err := grpc.NewClient("passthrough:///gateway",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return g.lis.DialContext(ctx) }),
		// The server is this node's: what it says was bounded by the machine.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
	)
	if err != nil {
		return nil, fmt.Errorf("make gateway: %w", err)
	}
	g.conn = conn
	mux := newMux()
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		coordv1.RegisterSessionServiceHandler,
		coordv1.RegisterLockServiceHandler,
		coordv1.RegisterSemaphoreServiceHandler,
		coordv1.RegisterElectionServiceHandler,
		coordv1.RegisterInspectServiceHandler,
		coordv1.RegisterClusterServiceHandler,
	} {
		if err := register(context.Background(), mux, conn); err != nil {
			return nil, errors.Join(fmt.Errorf("make gateway: %w", err), conn.Close())
		}
	}
	g.handler = guard(mux)
	return g, nil
}

// Listener is what the node's gRPC server is to serve. Its one connection is that of all
// HTTP clients.
func (g *Gateway) Listener() net.Listener { return g.lis }

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handler.ServeHTTP(w, r) }

// Close ends the RPCs under way and waits for none.
func (g *Gateway) Close() error {
	if err := errors.Join(g.conn.Close(), g.lis.Close()); err != nil {
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
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(), // which takes a POST for a GET
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
	)
}

// passedOn names the headers that go on with a call, as its metadata.
func passedOn(header string) (key string, ok bool) {
	switch textproto.CanonicalMIMEHeaderKey(header) {
	case "Traceparent", "Tracestate":
		return header, true
	default:
		return "", false
	}
}

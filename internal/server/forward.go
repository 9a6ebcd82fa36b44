package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	coordv1 "coordd.dev/api/coord/v1"
)

// A forwarder passes calls on to the leader: any method of any registered service, by
// its descriptor. It does not look at what it carries, and a status goes back as it came.
type forwarder struct {
	cfg   Config
	pumps sync.WaitGroup // of streams: what the client sends

	mu     sync.Mutex
	closed bool
	conns  map[route]*grpc.ClientConn // three times as many as have led
	calls  map[*passage]struct{}
}

// A route is a connection's purpose. Streams, and calls that may wait, can be as many as a
// connection takes, and renewals must not wait until one of them ends: each has its own.
type route struct {
	node string
	use  use
}

type use uint8

const (
	useBrief  use = iota + 1 // unary calls that are answered at once
	useWait                  // unary calls that may wait in the cluster
	useStream                // streams
)

func useOf(req any) use {
	if _, ok := req.(waiting); ok {
		return useWait
	}
	return useBrief
}

// A passage is one call under way.
type passage struct {
	f      *forwarder
	to     route
	conn   *grpc.ClientConn
	cancel context.CancelCauseFunc
}

func newForwarder(cfg Config) *forwarder {
	return &forwarder{
		cfg:   cfg,
		conns: make(map[route]*grpc.ClientConn),
		calls: make(map[*passage]struct{}),
	}
}

// unary passes one call on.
func (f *forwarder) unary(ctx context.Context, leader, method string, req any) (any, error) {
	ctx, c, err := f.begin(ctx, route{leader, useOf(req)}, method)
	if err != nil {
		return nil, err
	}
	defer c.end(nil)
	m, err := methodOf(method)
	if err != nil {
		return nil, err
	}
	response := m.out.New().Interface()
	if err := c.conn.Invoke(ctx, method, req, response); err != nil {
		reason := coordv1.Reason_REASON_UNKNOWN_OUTCOME
		if m.repeatable {
			reason = coordv1.Reason_REASON_NO_LEADER
		}
		return nil, c.fault(ctx, err, reason)
	}
	return response, nil
}

// stream passes one stream on. It ends when the leader ends it, or its client goes.
func (f *forwarder) stream(ss grpc.ServerStream, leader string, info *grpc.StreamServerInfo) error {
	ctx, c, err := f.begin(ss.Context(), route{leader, useStream}, info.FullMethod)
	if err != nil {
		return err
	}
	defer c.end(nil)
	m, err := methodOf(info.FullMethod)
	if err != nil {
		return err
	}
	desc := &grpc.StreamDesc{ServerStreams: info.IsServerStream, ClientStreams: info.IsClientStream}
	up, err := c.conn.NewStream(ctx, desc, info.FullMethod)
	if err != nil {
		return c.fault(ctx, err, coordv1.Reason_REASON_NO_LEADER)
	}
	reason := coordv1.Reason_REASON_NO_LEADER
	if !info.IsServerStream && !m.repeatable { // its one answer is that it is done
		reason = coordv1.Reason_REASON_UNKNOWN_OUTCOME
	}
	f.pumps.Go(func() { c.pump(ss, up, m.in) })
	for {
		message := m.out.New().Interface()
		switch err := up.RecvMsg(message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return c.fault(ctx, err, reason)
		}
		if err := ss.SendMsg(message); err != nil {
			return err
		}
	}
}

// pump carries what the client sends. It ends with the client's stream at the latest: the
// handler of that has then returned.
func (c *passage) pump(ss grpc.ServerStream, up grpc.ClientStream, in protoreflect.MessageType) {
	for {
		m := in.New().Interface()
		err := ss.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			_ = up.CloseSend() // never fails
			return
		}
		if err != nil {
			c.end(err)
			return
		}
		if up.SendMsg(m) != nil {
			return // RecvMsg of up says why
		}
	}
}

// begin prepares to pass a call on to the node that leads.
func (f *forwarder) begin(ctx context.Context, to route, method string) (context.Context, *passage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, errStopping()
	}
	conn, err := f.connect(to)
	if err != nil {
		return nil, nil, fmt.Errorf("forward %s to node %s: %w", method, to.node, err)
	}
	ctx, cancel := context.WithCancelCause(f.outgoing(ctx))
	c := &passage{f: f, to: to, conn: conn, cancel: cancel}
	f.calls[c] = struct{}{}
	return ctx, c, nil
}

// end ends the call, for err if it is the first to say.
func (c *passage) end(err error) {
	c.cancel(err)
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	delete(c.f.calls, c)
}

// fault is the status for an error of the call to the leader. If that could not be
// reached the status has the given reason. A call that was
// cut here may have been answered there: that it was refused is no more known than that
// it was not.
func (c *passage) fault(ctx context.Context, err error, reason coordv1.Reason) error {
	if cause := context.Cause(ctx); hasReason(cause) {
		if reason == coordv1.Reason_REASON_UNKNOWN_OUTCOME {
			return Error(reason, fmt.Sprintf("forward to leader %s: cut off: %s",
				c.to.node, status.Convert(cause).Message()), nil)
		}
		return cause
	}
	if status.Code(err) != codes.Unavailable || hasReason(err) {
		return err
	}
	c.f.cfg.Logger.DebugContext(ctx, "forward", "leader", c.to.node, "err", err)
	return Error(reason, fmt.Sprintf("forward to leader %s: %s; try again",
		c.to.node, status.Convert(err).Message()), nil)
}

// outgoing carries a call's metadata over, and keeps its deadline. What the
// propagator reads it writes anew: on the leader the parent is the span of this call.
func (f *forwarder) outgoing(ctx context.Context) context.Context {
	out := metadata.MD{}
	in, _ := metadata.FromIncomingContext(ctx)
	for key, values := range in {
		if !reserved(key) {
			out[key] = values
		}
	}
	for _, key := range f.cfg.Propagator.Fields() {
		out.Delete(key)
	}
	f.passOn(ctx, out)
	return metadata.NewOutgoingContext(ctx, out)
}

// reserved is what gRPC sets by itself.
func reserved(key string) bool {
	return strings.HasPrefix(key, ":") || strings.HasPrefix(key, "grpc-") ||
		key == "content-type" || key == "user-agent" || key == "te"
}

// connect returns the connection of a route, over which the node is dialled by its id,
// wherever it is by then. mu is held; it does not wait.
func (f *forwarder) connect(to route) (*grpc.ClientConn, error) {
	if conn, ok := f.conns[to]; ok {
		return conn, nil
	}
	conn, err := grpc.NewClient("passthrough:///"+to.node, f.dialOptions()...)
	if err != nil {
		return nil, err
	}
	f.conns[to] = conn
	return conn, nil
}

func (f *forwarder) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(f.cfg.Dial),
		grpc.WithInitialWindowSize(windowBytes),
		grpc.WithInitialConnWindowSize(windowBytes),
		// The leader is trusted, and what it says was bounded by the machine.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 50 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second,
			},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.WithDisableServiceConfig(),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(f.cfg.rpcTelemetry()...)),
	}
}

// cutOthers ends the calls to other nodes than leader. That one is dialled anew if it did
// not answer before: it does now, or it could not lead. (ResetConnectBackoff would say so
// to gRPC, but it reads a map that gRPC may write meanwhile.)
func (f *forwarder) cutOthers(leader string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, use := range []use{useBrief, useWait, useStream} {
		to := route{leader, use}
		if conn, ok := f.conns[to]; ok && conn.GetState() == connectivity.TransientFailure {
			_ = conn.Close() // fails only if it is closed already
			delete(f.conns, to)
		}
	}
	for c := range f.calls {
		if c.to.node != leader {
			c.cancel(c.moved())
		}
	}
}

// moved is the cause of a cut because another node leads.
func (c *passage) moved() error {
	if c.to.use == useStream {
		return errNoLeader("forwarded stream", "")
	}
	return errAskAgain("forwarded call", "the leader changed")
}

// close ends every call with why, and lets no other begin.
func (f *forwarder) close(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for c := range f.calls {
		c.cancel(why)
	}
}

// hangUp closes the connections, after close, and waits for the forwarder's goroutines: the
// handlers must have returned, or be about to.
func (f *forwarder) hangUp() {
	f.mu.Lock()
	for _, conn := range f.conns {
		_ = conn.Close() // fails only if it is closed already
	}
	f.mu.Unlock()
	f.pumps.Wait()
}

// A method is what the forwarder must know of one.
type method struct {
	in, out protoreflect.MessageType
	// repeatable: the .proto says that to ask twice is the same as once, so that nobody
	// need know whether a call that was cut off has been carried out.
	repeatable bool
	reads      bool // it says that nothing is changed
}

func methodOf(full string) (method, error) {
	name := strings.ReplaceAll(strings.TrimPrefix(full, "/"), "/", ".")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return method{}, status.Errorf(codes.Unimplemented, "forward %s: %v", full, err)
	}
	desc, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return method{}, status.Errorf(codes.Unimplemented, "forward %s: not a method", full)
	}
	var m method
	m.in, err = protoregistry.GlobalTypes.FindMessageByName(desc.Input().FullName())
	if err == nil {
		m.out, err = protoregistry.GlobalTypes.FindMessageByName(desc.Output().FullName())
	}
	if err != nil {
		return method{}, status.Errorf(codes.Unimplemented, "forward %s: %v", full, err)
	}
	if options, ok := desc.Options().(*descriptorpb.MethodOptions); ok {
		m.repeatable = options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
		m.reads = options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	}
	return m, nil
}

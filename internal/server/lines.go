package server

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	coordv1 "coordd.dev/api/coord/v1"
)

// maxWaits bounds the calls of one connection that may wait, those that are passed on to
// the leader included (SEMANTICS B6); maxShared those of a connection that many clients
// share. Each is a goroutine for as long as it waits.
const (
	maxWaits  = 200
	maxShared = 10_000
)

// A line is a connection of a client.
type line struct {
	limit int64
	waits atomic.Int64
}

type lineKey struct{}

// Shared marks the connections that l accepts as those of many clients each, as a gateway's
// are.
func Shared(l net.Listener) net.Listener { return sharedListener{l} }

type sharedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l sharedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return sharedConn{c}, nil
}

type sharedConn struct{ net.Conn }

// RemoteAddr implements net.Conn. It is all that gRPC tells of a connection.
func (c sharedConn) RemoteAddr() net.Addr { return sharedAddr{c.Conn.RemoteAddr()} }

type sharedAddr struct{ net.Addr }

// lines gives each connection its line. gRPC tells of connections in no other way than to
// a stats.Handler; what else that is told does not matter here.
type lines struct{}

func (lines) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	l := &line{limit: maxWaits}
	if _, shared := info.RemoteAddr.(sharedAddr); shared {
		l.limit = maxShared
	}
	return context.WithValue(ctx, lineKey{}, l)
}

func (lines) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (lines) HandleRPC(context.Context, stats.RPCStats)                       {}
func (lines) HandleConn(context.Context, stats.ConnStats)                     {}

// enter counts a call that may wait until leave is called, or refuses it. What another
// node passes on was counted there: its connection is that of all its clients. That is
// believed of whoever says so, and any gRPC client can: the limit is for honest clients, and
// keeps nobody out who means harm.
func enter(ctx context.Context, req any) (leave func(), err error) {
	_, waits := req.(waiting)
	if q, ok := req.(queueing); !waits || ok && q.GetTry() || forwarded(ctx) {
		return func() {}, nil
	}
	l, ok := ctx.Value(lineKey{}).(*line)
	if !ok {
		return func() {}, nil
	}
	if l.waits.Add(1) > l.limit {
		l.waits.Add(-1)
		return nil, Error(coordv1.Reason_REASON_LIMIT,
			fmt.Sprintf("call: %d calls of this connection wait already, as many as may; use another connection", l.limit),
			map[string]string{metaLimit: "connection"})
	}
	return func() { l.waits.Add(-1) }, nil
}

// forwarded says that another node has passed a call on.
func forwarded(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, forwardedKey)) > 0
}

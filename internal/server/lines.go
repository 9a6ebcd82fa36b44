package server

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// maxWaits bounds the calls of one connection that may wait, those that are passed on to
// the leader included (SEMANTICS B6); maxShared those of a connection that many clients
// share. Each is a goroutine for as long as it waits.
const (
	maxWaits  = 200
	maxShared = 10_000
)

// A line is a connection.
type line struct {
	passed bool // it is another node's
	limit  int64
	waits  atomic.Int64
}

type lineKey struct{}

// Shared marks the connections that l accepts as those of many clients each, as a gateway's
// are.
func Shared(l net.Listener) net.Listener {
	return marking{l, func(a net.Addr) net.Addr { return sharedAddr{a} }}
}

// Passed marks the connections that l accepts as those of other nodes, which pass on the
// calls of their clients: what they say of these is believed.
func Passed(l net.Listener) net.Listener {
	return marking{l, func(a net.Addr) net.Addr { return passedAddr{a} }}
}

// A marking is a listener whose connections are told by their remote addresses: these are
// all that gRPC tells of a connection.
type marking struct {
	net.Listener
	mark func(net.Addr) net.Addr
}

// Accept implements net.Listener.
func (l marking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return markedConn{c, l.mark(c.RemoteAddr())}, nil
}

type markedConn struct {
	net.Conn
	from net.Addr
}

// RemoteAddr implements net.Conn.
func (c markedConn) RemoteAddr() net.Addr { return c.from }

type (
	sharedAddr struct{ net.Addr }
	passedAddr struct{ net.Addr }
)

// lines gives each connection its line. gRPC tells of connections in no other way than to
// a stats.Handler; what else that is told does not matter here.
type lines struct{}

func (lines) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	l := &line{limit: maxWaits}
	switch info.RemoteAddr.(type) {
	case sharedAddr:
		l.limit = maxShared
	case passedAddr:
		l.passed = true
	}
	return context.WithValue(ctx, lineKey{}, l)
}

func (lines) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (lines) HandleRPC(context.Context, stats.RPCStats)                       {}
func (lines) HandleConn(context.Context, stats.ConnStats)                     {}

// enter counts a call that may wait until leave is called, or refuses it. What another
// node passes on was counted there: its connection is that of all its clients.
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
		return nil, errLimit("call", limitConnection,
			fmt.Sprintf("%d calls of this connection wait already, as many as may; use another connection", l.limit))
	}
	return func() { l.waits.Add(-1) }, nil
}

// forwarded says that another node has passed a call on.
func forwarded(ctx context.Context) bool {
	l, ok := ctx.Value(lineKey{}).(*line)
	return ok && l.passed
}

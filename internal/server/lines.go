package server

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	coordv1 "coordd.dev/api/coord/v1"
)

// maxWaits bounds the calls of one connection that may wait, those that are passed on to
// the leader included (SEMANTICS B6). Each is a goroutine for as long as it waits.
const maxWaits = 200

// A line is a connection of a client.
type line struct{ waits atomic.Int64 }

type lineKey struct{}

// lines gives each connection its line. gRPC tells of connections in no other way than to
// a stats.Handler; what else that is told does not matter here.
type lines struct{}

func (lines) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, lineKey{}, new(line))
}

func (lines) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (lines) HandleRPC(context.Context, stats.RPCStats)                       {}
func (lines) HandleConn(context.Context, stats.ConnStats)                     {}

// enter counts a call that may wait until leave is called, or refuses it. What another
// node passes on was counted there: its connection is that of all its clients.
func enter(ctx context.Context, req any) (leave func(), err error) {
	w, ok := req.(waiting)
	if !ok || w.GetTry() || forwarded(ctx) {
		return func() {}, nil
	}
	l, ok := ctx.Value(lineKey{}).(*line)
	if !ok {
		return func() {}, nil
	}
	if l.waits.Add(1) > maxWaits {
		l.waits.Add(-1)
		return nil, Error(coordv1.Reason_REASON_LIMIT,
			fmt.Sprintf("call: %d calls of this connection wait already, as many as may; use another connection", maxWaits),
			map[string]string{metaLimit: "connection"})
	}
	return func() { l.waits.Add(-1) }, nil
}

// forwarded says that another node has passed a call on.
func forwarded(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, forwardedKey)) > 0
}

package client

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// An ear counts what a node says on a link, whatever the call it says it to. A node that
// owes an answer and says something to others meanwhile is slow, not gone.
type ear struct{ heard atomic.Uint64 }

// HandleRPC implements [stats.Handler].
func (e *ear) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch s.(type) {
	case *stats.InHeader, *stats.InPayload, *stats.InTrailer:
		e.heard.Add(1)
	}
}

// TagRPC implements [stats.Handler].
func (e *ear) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements [stats.Handler].
func (e *ear) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (e *ear) HandleConn(context.Context, stats.ConnStats) {}

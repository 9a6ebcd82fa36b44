package server

import (
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc/stats"

	"coordd.dev/internal/telemetry"
)

// rpcTelemetry is how calls are traced and measured, in both directions: those of the
// protocol. Health and reflection are asked all the time and say nothing, and the name of
// a method that does not exist is a stranger's to choose.
func (c Config) rpcTelemetry() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(c.TracerProvider),
		otelgrpc.WithMeterProvider(c.MeterProvider),
		otelgrpc.WithPropagators(c.Propagator),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool {
			return strings.HasPrefix(i.FullMethodName, protocolPrefix)
		}),
	}
}

// gauges is what is told to whoever reads the metrics.
func (s *Server) gauges() telemetry.Gauges {
	counts := s.cfg.Replica.State().Counts
	hub := s.cfg.Replica.hub
	hub.mu.Lock()
	defer hub.mu.Unlock()
	return telemetry.Gauges{
		Sessions: counts.Sessions,
		Holds:    counts.Holds,
		Waiters:  counts.Waiters,
		Streams:  int64(len(hub.streams)),
	}
}

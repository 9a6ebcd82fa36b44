package server

import (
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/stats"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
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

// tracesOf are the spans that a command's waits are part of, mostly none.
func tracesOf(c machine.Command) (out []trace.SpanContext) {
	each := func(op *machine.Op) {
		if op.Wait.Trace != "" {
			out = append(out, telemetry.Decode(op.Wait.Trace))
		}
	}
	switch c := c.(type) {
	case *machine.Frame:
		for i := range c.Ops {
			each(&c.Ops[i])
		}
	case *machine.Call:
		each(&c.Op)
	}
	return out
}

// record counts what an entry did, and makes the spans of its traced waits.
func record(t *telemetry.Server, index uint64, began time.Time,
	commands []machine.Command, events []machine.Event, changes []machine.Change) {
	ended := time.Now()
	t.Entry(ended.Sub(began))
	for _, c := range commands {
		for _, parent := range tracesOf(c) {
			t.Applied(parent, index, began, ended)
		}
	}
	if !t.Leads() {
		return
	}
	expired := 0
	for i := range events {
		if events[i].Type == machine.EventEnded && events[i].Ending == machine.EndExpired {
			expired++
		}
	}
	t.Expired(expired)
	for i := range changes {
		recordChange(t, &changes[i])
	}
}

func recordChange(t *telemetry.Server, c *machine.Change) {
	kind, mode := telemetry.Kind(c.On.Kind), telemetry.Exclusive
	if c.Shared || c.On.Kind == park.KindSemaphore {
		mode = telemetry.Shared
	}
	switch c.Type {
	case machine.ChangeGranted:
		t.Waited(kind, mode, telemetry.Granted, time.Duration(c.Waited))
	case machine.ChangeDelayed:
		t.Held(kind, mode, telemetry.End(c.Ending), time.Duration(c.Held))
	case machine.ChangeEnded:
		if c.Ending != machine.EndDelayOver { // which was counted when it began
			t.Held(kind, mode, telemetry.End(c.Ending), time.Duration(c.Held))
		}
	default: // it is about no hold
	}
}

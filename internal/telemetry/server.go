package telemetry

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Gauges are what is read when somebody asks.
type Gauges struct {
	Sessions, Holds, Waiters int64 // live, of this node's replica
	Streams                  int64 // of this node
}

// A Server records what a node does. It may be used by several goroutines.
type Server struct {
	tracer  trace.Tracer
	wait    metric.Float64Histogram
	hold    metric.Float64Histogram
	apply   metric.Float64Histogram
	expired metric.Int64Counter
	changes metric.Int64Counter
	gauges  metric.Registration
	sets    sets
	leading atomic.Bool
}

// NewServer takes otel's global provider for one that is nil. It calls read until Close.
func NewServer(tp trace.TracerProvider, mp metric.MeterProvider, read func() Gauges) *Server {
	m := meter(mp)
	s := &Server{
		tracer: tracer(tp),
		sets:   newSets(),
		wait: must(m.Float64Histogram("coord.lock.wait.duration",
			metric.WithUnit("s"),
			metric.WithDescription("Time from the entry of a wait until its grant, on the cluster's clock. Of the leader."),
			metric.WithExplicitBucketBoundaries(lockSeconds()...))),
		hold: must(m.Float64Histogram("coord.lock.hold.duration",
			metric.WithUnit("s"),
			metric.WithDescription("Time from a grant until the end of its hold, on the cluster's clock. Of the leader."),
			metric.WithExplicitBucketBoundaries(lockSeconds()...))),
		apply: must(m.Float64Histogram("coord.raft.apply.duration",
			metric.WithUnit("s"),
			metric.WithDescription("Time to apply an entry, and to hand what comes of it to the streams."),
			metric.WithExplicitBucketBoundaries(applySeconds()...))),
		expired: must(m.Int64Counter("coord.sessions.expired",
			metric.WithUnit("{session}"),
			metric.WithDescription("Sessions whose lease ran out. Of the leader."))),
		changes: must(m.Int64Counter("coord.raft.leader.changes",
			metric.WithUnit("{change}"),
			metric.WithDescription("Times that this node learnt of a leader after it had known another or none."))),
	}
	s.gauges = s.observe(m, read)
	s.expired.Add(context.Background(), 0) // a counter that is not there cannot be seen to rise
	s.changes.Add(context.Background(), 0)
	return s
}

// observe registers what is read, in one callback: all of it is of one instant.
func (s *Server) observe(m metric.Meter, read func() Gauges) metric.Registration {
	sessions := must(m.Int64ObservableGauge("coord.sessions",
		metric.WithUnit("{session}"), metric.WithDescription("Live sessions, as this node knows them.")))
	holds := must(m.Int64ObservableGauge("coord.holds",
		metric.WithUnit("{hold}"), metric.WithDescription("Calls that hold something, as this node knows them.")))
	waiters := must(m.Int64ObservableGauge("coord.waiters",
		metric.WithUnit("{waiter}"), metric.WithDescription("Calls that wait, as this node knows them.")))
	streams := must(m.Int64ObservableUpDownCounter("coord.streams",
		metric.WithUnit("{stream}"), metric.WithDescription("Session streams that this node serves.")))
	leading := must(m.Int64ObservableGauge("coord.raft.leading",
		metric.WithUnit("{node}"), metric.WithDescription("1 if this node leads, else 0.")))
	return must(m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		g := read()
		o.ObserveInt64(sessions, g.Sessions)
		o.ObserveInt64(holds, g.Holds)
		o.ObserveInt64(waiters, g.Waiters)
		o.ObserveInt64(streams, g.Streams)
		led := int64(0)
		if s.Leads() {
			led = 1
		}
		o.ObserveInt64(leading, led)
		return nil
	}, sessions, holds, waiters, streams, leading))
}

// Close ends the calls of read.
func (s *Server) Close() error {
	if err := s.gauges.Unregister(); err != nil {
		return fmt.Errorf("unregister gauges: %w", err)
	}
	return nil
}

// Lead says whether this node leads, and so counts what happens once for the cluster.
func (s *Server) Lead(is bool) { s.leading.Store(is) }

// Leads says what Lead was last told. If it is false the node need not even look.
func (s *Server) Leads() bool { return s.leading.Load() }

// LeaderKnown records that another leader is known.
func (s *Server) LeaderKnown() { s.changes.Add(context.Background(), 1) }

// Entry records that an entry was applied.
func (s *Server) Entry(took time.Duration) { s.apply.Record(context.Background(), took.Seconds()) }

// Expired records ends of sessions, if this node leads.
func (s *Server) Expired(sessions int) {
	if sessions > 0 && s.Leads() {
		s.expired.Add(context.Background(), int64(sessions))
	}
}

// Waited records the end of a wait, if this node leads.
func (s *Server) Waited(k Kind, m Mode, o Outcome, took time.Duration) {
	if s.Leads() {
		s.wait.Record(context.Background(), took.Seconds(), s.sets.waited(k, m, o)...)
	}
}

// Held records the end of a hold, if this node leads.
func (s *Server) Held(k Kind, m Mode, e End, took time.Duration) {
	if s.Leads() {
		s.hold.Record(context.Background(), took.Seconds(), s.sets.held(k, m, e)...)
	}
}

// Applied makes a span coord.apply, of the entry that a traced command was in.
func (s *Server) Applied(parent trace.SpanContext, index uint64, began, ended time.Time) {
	if !sampled(parent) {
		return
	}
	ctx := trace.ContextWithSpanContext(context.Background(), parent)
	_, span := s.tracer.Start(ctx, "coord.apply", trace.WithTimestamp(began), trace.WithAttributes(indexOf(index)))
	span.End(trace.WithTimestamp(ended))
}

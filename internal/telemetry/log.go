package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// A Log records what the replicated log does.
type Log struct {
	tracer trace.Tracer
	commit metric.Float64Histogram
	batch  metric.Int64Histogram
}

// NewLog takes otel's global provider for one that is nil.
func NewLog(tp trace.TracerProvider, mp metric.MeterProvider) *Log {
	m := meter(mp)
	return &Log{
		tracer: tracer(tp),
		commit: must(m.Float64Histogram("coord.raft.commit.duration",
			metric.WithUnit("s"),
			metric.WithDescription("Time from handing an entry to the engine until it is applied here."),
			metric.WithExplicitBucketBoundaries(commitSeconds()...))),
		batch: must(m.Int64Histogram("coord.raft.batch.commands",
			metric.WithUnit("{command}"),
			metric.WithDescription("Commands in an entry; none in one that only moves the clock."),
			metric.WithExplicitBucketBoundaries(batchCommands()...))),
	}
}

// An Entry is what a log knows of one that it handed to the engine.
type Entry struct {
	Handed, Returned time.Time // to and from the engine
	Index            uint64    // 0 if its outcome is not known
	Commands         int
}

// Committed records an entry that was.
func (l *Log) Committed(e Entry) {
	ctx := context.Background()
	l.commit.Record(ctx, e.Returned.Sub(e.Handed).Seconds())
	l.batch.Record(ctx, int64(e.Commands))
}

// A Proposal is a command that is part of a trace, or of several: its waits may belong to
// different ones. nil is a command that is part of none.
type Proposal struct {
	tracer    trace.Tracer
	parents   []trace.SpanContext
	submitted time.Time
}

// Proposal begins one. It is nil if none of the parents is sampled; it keeps none of them.
func (l *Log) Proposal(parents ...trace.SpanContext) *Proposal {
	for i, sc := range parents {
		if !sampled(sc) {
			continue
		}
		p := &Proposal{tracer: l.tracer, submitted: time.Now()}
		for _, sc := range parents[i:] {
			if sampled(sc) {
				p.parents = append(p.parents, sc)
			}
		}
		return p
	}
	return nil
}

// End makes, for each parent, a span coord.propose from the submission until now and in
// it coord.commit, unless e is nil: the command got into no entry.
func (p *Proposal) End(e *Entry, err error) {
	if p == nil {
		return
	}
	for _, sc := range p.parents {
		ctx := trace.ContextWithSpanContext(context.Background(), sc)
		ctx, propose := p.tracer.Start(ctx, "coord.propose", trace.WithTimestamp(p.submitted))
		if e != nil {
			p.commit(ctx, e, err)
		}
		fail(propose, err)
		propose.End()
	}
}

func (p *Proposal) commit(ctx context.Context, e *Entry, err error) {
	_, span := p.tracer.Start(ctx, "coord.commit", trace.WithTimestamp(e.Handed),
		trace.WithAttributes(attribute.Int("coord.raft.batch.commands", e.Commands)))
	if err == nil {
		span.SetAttributes(indexOf(e.Index))
	}
	fail(span, err)
	span.End(trace.WithTimestamp(e.Returned))
}

// fail says on a span what went wrong, if something did.
func fail(s trace.Span, err error) {
	if err != nil {
		s.SetStatus(codes.Error, err.Error())
	}
}

// indexOf is the attribute of an entry's place in the log.
func indexOf(index uint64) attribute.KeyValue {
	return attribute.Int64("coord.raft.index", int64(index)) //nolint:gosec // a log has no 2^63 entries
}

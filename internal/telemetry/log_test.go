package telemetry

import (
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// recording is a provider and what ended of it.
func recording() (*sdktrace.TracerProvider, *tracetest.SpanRecorder) {
	r := tracetest.NewSpanRecorder()
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r)), r
}

func TestProposal(t *testing.T) {
	tp, spans := recording()
	l := NewLog(tp, nil)
	a, b := contextOf(trace.FlagsSampled), contextOf(trace.FlagsSampled).WithSpanID(trace.SpanID{7})
	handed := time.Now().Add(time.Millisecond)
	e := Entry{Handed: handed, Returned: handed.Add(time.Second), Index: 12, Commands: 3}
	l.Proposal(contextOf(0), a, trace.SpanContext{}, b).End(&e, nil)
	ended := spans.Ended()
	if len(ended) != 4 {
		t.Fatalf("%d spans", len(ended))
	}
	for i, parent := range []trace.SpanContext{a, b} {
		commit, propose := ended[2*i], ended[2*i+1]
		if propose.Name() != "coord.propose" || !propose.Parent().Equal(parent) || propose.SpanKind() != trace.SpanKindInternal {
			t.Errorf("%s of %v, %v", propose.Name(), propose.Parent(), propose.SpanKind())
		}
		if commit.Name() != "coord.commit" || commit.Parent().SpanID() != propose.SpanContext().SpanID() {
			t.Errorf("%s of %v", commit.Name(), commit.Parent())
		}
		if !commit.StartTime().Equal(e.Handed) || !commit.EndTime().Equal(e.Returned) || propose.StartTime().After(e.Handed) {
			t.Errorf("propose from %v, commit %v to %v", propose.StartTime(), commit.StartTime(), commit.EndTime())
		}
		got := attribute.NewSet(commit.Attributes()...)
		want := attribute.NewSet(attribute.Int("coord.raft.batch.commands", 3), attribute.Int("coord.raft.index", 12))
		if got != want {
			t.Errorf("attributes %v", commit.Attributes())
		}
	}
}

func TestProposalFails(t *testing.T) {
	tp, spans := recording()
	l := NewLog(tp, nil)
	l.Proposal(contextOf(trace.FlagsSampled)).End(nil, errors.New("no"))
	l.Proposal(contextOf(trace.FlagsSampled)).End(&Entry{Handed: time.Now(), Returned: time.Now()}, errors.New("no"))
	ended := spans.Ended()
	if len(ended) != 3 {
		t.Fatalf("%d spans", len(ended))
	}
	for _, s := range ended {
		if s.Status().Code != codes.Error || s.Status().Description != "no" {
			t.Errorf("%s: %v", s.Name(), s.Status())
		}
		for _, a := range s.Attributes() {
			if a.Key == "coord.raft.index" {
				t.Errorf("%s has an index", s.Name())
			}
		}
	}
}

// TestUntraced: nothing comes of commands that are part of no sampled trace, at no cost.
func TestUntraced(t *testing.T) {
	l := NewLog(noop.NewTracerProvider(), nil)
	not := contextOf(0)
	if n := testing.AllocsPerRun(100, func() {
		l.Proposal().End(nil, nil)
		l.Proposal(not, trace.SpanContext{}).End(nil, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

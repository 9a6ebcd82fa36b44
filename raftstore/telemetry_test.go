package raftstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"coordd.dev/raftstore"
)

// traced is a config whose spans are recorded, and a context to be the parent of some.
func traced() (raftstore.Config, *tracetest.SpanRecorder, context.Context) {
	r := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))
	ctx, _ := tp.Tracer("test").Start(context.Background(), "parent")
	return raftstore.Config{TracerProvider: tp}, r, ctx
}

// tell is one line a span: its name and its parent's, its length, what is said of it.
func tell(ended []sdktrace.ReadOnlySpan) []string {
	names := map[trace.SpanID]string{}
	for _, s := range ended {
		names[s.SpanContext().SpanID()] = s.Name()
	}
	var lines []string
	for _, s := range ended {
		line := fmt.Sprintf("%s of %q: %v", s.Name(), names[s.Parent().SpanID()], s.EndTime().Sub(s.StartTime()))
		for _, a := range s.Attributes() {
			line += fmt.Sprintf(" %s=%s", a.Key, a.Value.String())
		}
		if d := s.Status().Description; d != "" {
			line += ": " + d
		}
		lines = append(lines, line)
	}
	return lines
}

// TestSpans: the wait for the entry before is part of coord.propose, not of coord.commit.
func TestSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, spans, ctx := traced()
		e, l := startLog(t, cfg)
		l.Tick()
		first := <-e.appends
		parent := trace.SpanContextFromContext(ctx)
		l.Submit([]byte("a"), 0, raftstore.Ordinary, nil)
		told := 0
		l.Submit([]byte("b"), 0, raftstore.Ordinary, func(uint64, any, error) { told = len(spans.Ended()) }, parent)
		proposed := make(chan error)
		go func() {
			_, _, err := l.Propose(ctx, []byte("c"))
			proposed <- err
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		first.commit(7)
		second := <-e.appends
		time.Sleep(2 * time.Second)
		second.commit(8)
		if err := <-proposed; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		commit := `coord.commit of "coord.propose": 2s coord.raft.batch.commands=3 coord.raft.index=8`
		propose := `coord.propose of "": 3s`
		if diff := cmp.Diff([]string{commit, propose, commit, propose}, tell(spans.Ended())); diff != "" {
			t.Errorf("spans (-want +got):\n%s", diff)
		}
		for _, s := range spans.Ended() {
			if s.SpanContext().TraceID() != parent.TraceID() {
				t.Errorf("%s is of another trace", s.Name())
			}
		}
		if told != 2 {
			t.Errorf("%d spans had ended when the answer came", told)
		}
	})
}

// TestSpansOfFailures: whatever becomes of a command, its span ends and says so.
func TestSpansOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, spans, ctx := traced()
		cfg.MaxUncommittedBytes = 200
		e, l := startLog(t, cfg)
		parent := trace.SpanContextFromContext(ctx)
		submit := func(u raftstore.Urgency) { l.Submit(make([]byte, 100), 0, u, nil, parent) }
		submit(raftstore.Ordinary)
		first := <-e.appends
		submit(raftstore.Ordinary) // refused for load
		submit(raftstore.Urgent)   // waits, and is never written
		if _, _, err := l.Propose(ctx, make([]byte, 100)); !errors.Is(err, raftstore.ErrOverloaded) {
			t.Error(err)
		}
		e.state.Set(raftstore.State{Term: 2})
		first.fail(raftstore.ErrUnknown)
		awaitLeading(l, false)
		synctest.Wait()
		submit(raftstore.Ordinary) // refused: does not lead
		want := []string{
			`coord.propose of "": 0s: too many uncommitted bytes`,
			`coord.propose of "": 0s: too many uncommitted bytes`,
			`coord.commit of "coord.propose": 0s coord.raft.batch.commands=1: outcome unknown`,
			`coord.propose of "": 0s: outcome unknown`,
			`coord.propose of "": 0s: not the leader`,
			`coord.propose of "": 0s: not the leader`,
		}
		if diff := cmp.Diff(want, tell(spans.Ended())); diff != "" {
			t.Errorf("spans (-want +got):\n%s", diff)
		}
	})
}

// TestMetrics: entries are counted, what is in them, and how long they took.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		e, l := startLog(t, raftstore.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
		l.Submit([]byte("a"), 0, raftstore.Ordinary, nil)
		first := <-e.appends
		l.Submit([]byte("b"), 0, raftstore.Ordinary, nil)
		l.Submit([]byte("c"), 0, raftstore.Ordinary, nil)
		time.Sleep(time.Second)
		first.commit(1)
		second := <-e.appends
		second.fail(raftstore.ErrUnknown) // not counted
		synctest.Wait()
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, m := range all.ScopeMetrics[0].Metrics {
			switch h := m.Data.(type) {
			case metricdata.Histogram[float64]:
				got[m.Name+" "+m.Unit] = fmt.Sprint(h.DataPoints[0].Count, " entries, ", h.DataPoints[0].Sum)
			case metricdata.Histogram[int64]:
				got[m.Name+" "+m.Unit] = fmt.Sprint(h.DataPoints[0].Count, " entries, ", h.DataPoints[0].Sum)
			}
		}
		want := map[string]string{
			"coord.raft.commit.duration s":        "2 entries, 1", // with the barrier
			"coord.raft.batch.commands {command}": "2 entries, 1",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

package telemetry

import (
	"context"
	"slices"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// collect returns the metrics by name.
func collect(t *testing.T, r sdkmetric.Reader) map[string]metricdata.Aggregation {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	by := map[string]metricdata.Aggregation{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			by[m.Name] = m.Data
		}
	}
	return by
}

// total is how much was counted, in all series of a counter or a histogram.
func total(a metricdata.Aggregation) (n int) {
	switch a := a.(type) {
	case metricdata.Sum[int64]:
		for _, p := range a.DataPoints {
			n += int(p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range a.DataPoints {
			n += int(p.Count)
		}
	}
	return n
}

func TestServer(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	s := NewServer(nil, mp, func() Gauges { return Gauges{Sessions: 1, Holds: 2, Waiters: 3, Streams: 4} })
	record := func() {
		s.Waited(Lock, Exclusive, Granted, time.Second)
		s.Waited(Semaphore, Shared, Outcome(200), 0)
		s.Held(Lock, Shared, Revoked, time.Hour)
		s.Expired(5)
		s.LeaderKnown()
	}
	record() // does not lead
	got := collect(t, reader)
	for name, want := range map[string]int{"coord.lock.wait.duration": 0, "coord.lock.hold.duration": 0, "coord.sessions.expired": 0, "coord.raft.leader.changes": 1} {
		if n := total(got[name]); n != want {
			t.Errorf("%s of a follower is %d", name, n)
		}
	}
	s.Lead(true)
	record()
	got = collect(t, reader)
	for name, want := range map[string]int{"coord.lock.wait.duration": 2, "coord.lock.hold.duration": 1, "coord.sessions.expired": 5, "coord.raft.leader.changes": 2, "coord.streams": 4} {
		if n := total(got[name]); n != want {
			t.Errorf("%s of a leader is %d", name, n)
		}
	}
	for name, want := range map[string]int64{"coord.sessions": 1, "coord.holds": 2, "coord.waiters": 3, "coord.raft.leading": 1} {
		if g, ok := got[name].(metricdata.Gauge[int64]); !ok || len(g.DataPoints) != 1 || g.DataPoints[0].Value != want {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	var series []string
	for _, p := range got["coord.lock.wait.duration"].(metricdata.Histogram[float64]).DataPoints {
		series = append(series, p.Attributes.Encoded(encoder{}))
		if b := p.Bounds; b[0] != 0.0001 || b[len(b)-1] != 3600 || !slices.IsSorted(b) {
			t.Errorf("bounds %v", b)
		}
	}
	slices.Sort(series)
	want := []string{"coord.kind=lock coord.mode=exclusive coord.outcome=granted", "coord.kind=semaphore coord.mode=shared coord.outcome=other"}
	if !slices.Equal(series, want) {
		t.Errorf("series %q", series)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := collect(t, reader); got["coord.sessions"] != nil {
		t.Error("it is read after Close")
	}
}

func TestApplied(t *testing.T) {
	tp, spans := recording()
	s := NewServer(tp, nil, func() Gauges { return Gauges{} })
	began := time.Now()
	parent := contextOf(trace.FlagsSampled)
	s.Applied(trace.SpanContext{}, 1, began, began)
	s.Applied(parent, 9, began, began.Add(time.Millisecond))
	ended := spans.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans", len(ended))
	}
	span := ended[0]
	if span.Name() != "coord.apply" || !span.Parent().Equal(parent) || !span.StartTime().Equal(began) || span.EndTime().Sub(began) != time.Millisecond {
		t.Errorf("%s of %v from %v to %v", span.Name(), span.Parent(), span.StartTime(), span.EndTime())
	}
	if a := span.Attributes(); len(a) != 1 || a[0] != indexOf(9) {
		t.Errorf("attributes %v", a)
	}
}

// TestRecordAllocations: a node that leads records every wait and every hold.
func TestRecordAllocations(t *testing.T) {
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	s := NewServer(noop.NewTracerProvider(), mp, func() Gauges { return Gauges{} })
	s.Lead(true)
	if n := testing.AllocsPerRun(100, func() {
		s.Waited(Lock, Exclusive, Granted, time.Second)
		s.Held(Lock, Exclusive, Released, time.Second)
		s.Applied(trace.SpanContext{}, 1, time.Time{}, time.Time{})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkWaited(b *testing.B) {
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	s := NewServer(nil, mp, func() Gauges { return Gauges{} })
	s.Lead(true)
	b.ReportAllocs()
	for b.Loop() {
		s.Waited(Lock, Exclusive, Granted, time.Millisecond)
	}
}

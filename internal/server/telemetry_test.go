package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// traced has all spans of a node recorded, under its name.
func traced(to sdktrace.SpanProcessor) func(*server.Config, *raftstore.Config) {
	return func(cfg *server.Config, logCfg *raftstore.Config) {
		node := resource.NewSchemaless(attribute.String("node", cfg.NodeID))
		tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(to), sdktrace.WithResource(node))
		cfg.TracerProvider, logCfg.TracerProvider = tp, tp
		cfg.Propagator = propagation.TraceContext{}
	}
}

const (
	parentID    = "00f067aa0ba902b7"
	traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-" + parentID + "-01"
)

// lineage is a span and its ancestors, each "node kind name", in the trace of traceparent.
func lineage(spans []sdktrace.ReadOnlySpan, name string) []string {
	by := map[string]sdktrace.ReadOnlySpan{}
	var last sdktrace.ReadOnlySpan
	for _, s := range spans {
		if s.SpanContext().TraceID().String() == traceparent[3:35] {
			by[s.SpanContext().SpanID().String()] = s
			if s.Name() == name {
				last = s
			}
		}
	}
	var line []string
	for s := last; s != nil; s = by[s.Parent().SpanID().String()] {
		node, _ := s.Resource().Set().Value("node")
		line = append(line, fmt.Sprintf("%s %v %s", node.AsString(), s.SpanKind(), s.Name()))
		if s.Parent().SpanID().String() == parentID {
			return append(line, "client")
		}
	}
	return line
}

// TestForwardedTrace: the metadata of a call that is passed on are copied, but for the
// parent of its spans, which is the node that passes it on.
func TestForwardedTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		c := startClusterOf(t, traced(spans))
		leader := c.leader()
		follower := (leader + 1) % 3
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent))
		if _, err := c.api(follower).ListSessions(ctx, &coordv1.ListSessionsRequest{}); err != nil {
			t.Fatal(err)
		}
		stream, err := c.api(follower).Attach(ctx)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if _, err := stream.Recv(); err == nil {
			t.Error("the stream goes on")
		}
		synctest.Wait()
		passed := func(method string) []string {
			from, to := c.nodes[follower].id, c.nodes[leader].id
			return []string{to + " server " + method, from + " client " + method, from + " server " + method, "client"}
		}
		for _, method := range []string{"coord.v1.SessionService/ListSessions", "coord.v1.SessionService/Attach"} {
			ended := atNode(spans.Ended(), c.nodes[leader].id)
			got := lineage(append(atNode(spans.Ended(), c.nodes[follower].id), ended...), method)
			if !slices.Equal(got, passed(method)) {
				t.Errorf("spans of %s: %q", method, got)
			}
		}
		want := append([]string{c.nodes[leader].id + " internal coord.commit", c.nodes[leader].id + " internal coord.propose"},
			passed("coord.v1.SessionService/ListSessions")...)
		if got := lineage(spans.Ended(), "coord.commit"); !slices.Equal(got, want) {
			t.Errorf("spans of the commit: %q", got)
		}
	})
}

// atNode are the spans of one node.
func atNode(spans []sdktrace.ReadOnlySpan, id string) (some []sdktrace.ReadOnlySpan) {
	for _, s := range spans {
		if v, _ := s.Resource().Set().Value("node"); v.AsString() == id {
			some = append(some, s)
		}
	}
	return some
}

// TestUntracedCalls: health and reflection, and methods that there are not.
func TestUntracedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		n := start(t, traced(spans))
		n.engine.lead()
		synctest.Wait()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent)
		if _, err := healthv1.NewHealthClient(n.conn).Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		if err := n.conn.Invoke(ctx, "/strange.Service/"+strings.Repeat("x", 100), &coordv1.StatusRequest{}, &coordv1.StatusResponse{}); err == nil {
			t.Error("a method that there is not was served")
		}
		if _, err := coordv1.NewClusterServiceClient(n.conn).Status(ctx, &coordv1.StatusRequest{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if all := spans.Started(); len(all) != 1 || all[0].Name() != "coord.v1.ClusterService/Status" {
			t.Errorf("spans %v", all)
		}
	})
}

// TestMetrics: the gauges tell what the replica has, and what it applied is measured.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		n := start(t, func(cfg *server.Config, _ *raftstore.Config) {
			cfg.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		})
		synctest.Wait() // it knows that it has caught up
		n.engine.lead()
		synctest.Wait()
		c := open(t, n.api, 1)
		held := c.send(lockOp("x"))
		c.want(held, coordv1.Code_CODE_GRANTED)
		c.send(lockOp("x"), lockOp("x"))
		if err := n.replica.AwaitWaiters(t.Context(), lockNamed("x"), 2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := numbers(t, reader)
		for name, want := range map[string]int64{
			"coord.sessions": 1, "coord.holds": 1, "coord.waiters": 2, "coord.streams": 1,
			"coord.raft.leading": 1, "coord.raft.leader.changes": 1,
			"coord.raft.apply.duration": 5, // barrier, foundation, attach, two frames
		} {
			if got[name] != want {
				t.Errorf("%s is %d, not %d", name, got[name], want)
			}
		}
		n.engine.follow("n2")
		synctest.Wait()
		got = numbers(t, reader)
		if got["coord.raft.leading"] != 0 || got["coord.raft.leader.changes"] != 2 {
			t.Errorf("after the leader changed: %v", got)
		}
	})
}

// TestReplayIsNotMeasured: a node that starts applies again what it applied before.
func TestReplayIsNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		n := startBehind(t, func(cfg *server.Config, _ *raftstore.Config) {
			cfg.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		})
		n.engine.lead()
		synctest.Wait()
		if got := numbers(t, reader)["coord.raft.apply.duration"]; got != 0 || n.engine.appended() == 0 {
			t.Errorf("of %d entries %d are counted before the node has caught up", n.engine.appended(), got)
		}
		n.engine.set(func(s *raftstore.State) { s.CaughtUp = true })
		synctest.Wait()
		n.log.Tick()
		synctest.Wait()
		if got := numbers(t, reader)["coord.raft.apply.duration"]; got != 1 {
			t.Errorf("%d entries are counted", got)
		}
	})
}

// numbers are what was measured, by name: the value of a gauge, the count of the rest.
func numbers(t *testing.T, r sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	by := map[string]int64{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Gauge[int64]:
				by[m.Name] = d.DataPoints[0].Value
			case metricdata.Sum[int64]:
				by[m.Name] = d.DataPoints[0].Value
			case metricdata.Histogram[float64]:
				by[m.Name] = int64(d.DataPoints[0].Count) //nolint:gosec // a few
			}
		}
	}
	return by
}

// TestLogOfTrace: what is logged of a call has its context, in which its span is.
func TestLogOfTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log contextLog
		n := start(t, func(cfg *server.Config, logCfg *raftstore.Config) {
			traced(tracetest.NewSpanRecorder())(cfg, logCfg)
			cfg.Logger = slog.New(&log)
		})
		n.engine.follow("n2")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent), time.Minute)
		defer cancel()
		if _, err := n.api.ListSessions(ctx, &coordv1.ListSessionsRequest{}); err == nil {
			t.Error("served without a leader")
		}
		if want := "forward " + traceparent[3:35]; !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log.String())
		}
	})
}

// A contextLog writes messages and the traces of their contexts.
type contextLog struct {
	slog.Handler

	mu   sync.Mutex
	text strings.Builder
}

func (*contextLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *contextLog) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := fmt.Fprintln(&l.text, r.Message, trace.SpanContextFromContext(ctx).TraceID())
	return err
}

func (l *contextLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
	"coordd.dev/test/otlp"
)

// families are the metrics of a node, by name.
func (p *process) families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	code, body := p.get(t, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("metrics: %d: %s", code, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// value is that of a family's only series, the count if it is a histogram.
func value(t *testing.T, all map[string]*dto.MetricFamily, name string) float64 {
	t.Helper()
	series := all[name].GetMetric()
	if len(series) != 1 {
		t.Errorf("%s has %d series", name, len(series))
		return -1
	}
	switch m := series[0]; {
	case m.Histogram != nil:
		return float64(m.GetHistogram().GetSampleCount())
	case m.Counter != nil:
		return m.GetCounter().GetValue()
	default:
		return m.GetGauge().GetValue()
	}
}

// TestMetrics: a node's metrics are there for Prometheus, and none has anything in a label
// that a user chose.
func TestMetrics(t *testing.T) {
	cfg, ports := local(t, "n1")
	p := spawn(t, cfg, ports)
	p.awaitReady(t)
	const chosen = "chosen-by-a-user"
	cl, err := client.Dial(t.Context(), p.clientAddress, client.WithTTL(time.Hour),
		client.WithName("name-"+chosen), client.WithMetadata("key-"+chosen, "value-"+chosen))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	mu := cl.Mutex("mutex-"+chosen, client.WithNote("note-"+chosen))
	if _, err := mu.LockContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(p.clientAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, method := range []string{"/coord.v1.SessionService/method-" + chosen, "/service-" + chosen + "/x"} {
		if err := conn.Invoke(t.Context(), method, &coordv1.StatusRequest{}, &coordv1.StatusResponse{}); err == nil {
			t.Errorf("%s was served", method)
		}
	}
	_, body := p.get(t, "/metrics")
	all := p.families(t)
	for name, want := range map[string]float64{
		"coord_sessions": 1, "coord_holds": 1, "coord_waiters": 0, "coord_streams": 1,
		"coord_raft_leading": 1, "coord_raft_leader_changes_total": 1,
	} {
		if got := value(t, all, name); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	for _, name := range []string{
		"coord_raft_commit_duration_seconds", "coord_raft_batch_commands", "coord_raft_apply_duration_seconds", "go_goroutines", "process_start_time_seconds",
	} {
		if got := value(t, all, name); got <= 0 {
			t.Errorf("%s is %v", name, got)
		}
	}
	if len(all["rpc_server_call_duration_seconds"].GetMetric()) == 0 {
		t.Error("calls are not measured")
	}
	for _, fault := range labelled(all, chosen) {
		t.Error(fault)
	}
	if strings.Contains(body, chosen) {
		t.Error("the metrics name what a user chose")
	}
}

// labelled says which labels contain the text.
func labelled(all map[string]*dto.MetricFamily, text string) (faults []string) {
	for name, family := range all {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.Contains(l.GetValue(), text) {
					faults = append(faults, fmt.Sprintf("%s has the label %s=%q", name, l.GetName(), l.GetValue()))
				}
			}
		}
	}
	return faults
}

// TestLabelledBites: TestMetrics would see a label.
func TestLabelledBites(t *testing.T) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader("m{a=\"b\",name=\"mutex-x\"} 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := labelled(all, "x"); !slices.Equal(got, []string{`m has the label name="mutex-x"`}) {
		t.Errorf("faults %q", got)
	}
}

// TestMetricsOfSeveral: nodes of one process, as dev has them, tell each of itself.
func TestMetricsOfSeveral(t *testing.T) {
	cfgs, ports := three(t)
	nodes := make([]*process, 3)
	for i := range nodes {
		nodes[i] = spawn(t, cfgs[i], ports[i])
	}
	for _, n := range nodes {
		n.awaitReady(t)
	}
	eventually(t, func() error {
		leading, led := 0.0, -1
		for i, n := range nodes {
			all, status := n.families(t), n.status(t)
			if v := value(t, all, "coord_raft_leading"); v > 0 {
				leading, led = leading+v, i
			}
			instance := ""
			for _, l := range all["target_info"].GetMetric()[0].GetLabel() {
				if l.GetName() == "service_instance_id" {
					instance = l.GetValue()
				}
			}
			if instance != status.GetNodeId() {
				t.Errorf("metrics of %s are said to be of %s", status.GetNodeId(), instance)
			}
		}
		if leading != 1 {
			return fmt.Errorf("%v nodes lead", leading)
		}
		if !nodes[led].status(t).GetLeading() {
			return errors.New("another node leads")
		}
		return nil
	})
}

// collect starts a collector to which what starts in this process exports.
func collect(t *testing.T) *otlp.Collector {
	t.Helper()
	c := otlp.New(t)
	for _, kv := range c.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	return c
}

// TestFlush: what was not exported yet is when a node stops.
func TestFlush(t *testing.T) {
	collector := collect(t)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000") // ms
	tel, err := openTelemetry(t.Context(), "n1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.tracers.Tracer("test").Start(t.Context(), "last")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := tel.stop(ctx); err != nil {
		t.Fatal(err)
	}
	if got := otlp.Of(collector.Spans(), "last"); len(got) != 1 {
		t.Errorf("spans %v", collector.Spans())
	}
}

// TestTraces: with OpenTelemetry's variables a node exports what it did of a traced call,
// and says which node it is.
func TestTraces(t *testing.T) {
	collector := collect(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	cfg, ports := local(t, "n1")
	p := spawn(t, cfg, ports)
	p.awaitReady(t)
	node := p.status(t).GetNodeId()
	conn, err := grpc.NewClient(p.clientAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const traceID, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+traceID+"-"+parent+"-01")
	if _, err := coordv1.NewSessionServiceClient(conn).ListSessions(ctx, &coordv1.ListSessionsRequest{}); err != nil {
		t.Fatal(err)
	}
	names := []string{"coord.v1.SessionService/ListSessions", "coord.propose", "coord.commit"}
	collector.Await(func(all []otlp.Span) error {
		last := parent
		for _, name := range names {
			spans := slices.DeleteFunc(otlp.Of(all, name), func(s otlp.Span) bool { return s.TraceID != traceID })
			if len(spans) != 1 {
				return fmt.Errorf("%d spans %s", len(spans), name)
			}
			s := spans[0]
			if s.Parent != last || s.End.Before(s.Start) {
				t.Errorf("%s of %s: %v", name, s.Parent, s)
			}
			for key, want := range map[string]string{
				"service.name": "coordd", "service.version": version, "service.instance.id": node, "deployment.environment.name": "test",
			} {
				if s.Resource[key] != want {
					t.Errorf("%s has %s %q, not %q", name, key, s.Resource[key], want)
				}
			}
			last = s.ID
		}
		return nil
	})
}

// TestTracesLost: a collector that cannot be reached keeps no node from its stop, nor from
// a stop in order.
func TestTracesLost(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_METRICS_EXPORTER", "otlp")
	cfg, ports := local(t, "n1")
	p := spawn(t, cfg, ports)
	p.awaitReady(t)
	p.status(t) // a span
	p.kill(t)   // fails if the node does
	if log := p.log.String(); !strings.Contains(log, "some traces or metrics are lost") {
		t.Errorf("log:\n%s", log)
	}
}

func TestTelemetrySettings(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for _, tt := range []struct {
		environ string
		traces  bool
		fault   string
	}{
		{"", false, ""},
		{"OTEL_TRACES_EXPORTER=none", false, ""},
		{"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", false, ""},
		{"OTEL_TRACES_EXPORTER=otlp", true, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1", true, ""},
		{"OTEL_TRACES_EXPORTER=pigeon", false, "OTEL_"},
		{"OTEL_METRICS_EXPORTER=pigeon", false, "OTEL_"},
		{"OTEL_METRICS_EXPORTER=none", false, ""},
		{"OTEL_METRICS_EXPORTER=prometheus OTEL_EXPORTER_PROMETHEUS_PORT=no-port", false, ""},
	} {
		t.Run(tt.environ, func(t *testing.T) {
			for _, kv := range strings.Fields(tt.environ) {
				name, value, _ := strings.Cut(kv, "=")
				t.Setenv(name, value)
			}
			tel, err := openTelemetry(t.Context(), "n1", logger)
			if (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			defer tel.close()
			_, span := tel.tracers.Tracer("test").Start(t.Context(), "x")
			if span.IsRecording() != tt.traces {
				t.Errorf("records %v", span.IsRecording())
			}
		})
	}
}

// TestBadTelemetry: an environment that means nothing ends the node at once, and is said.
func TestBadTelemetry(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "pigeon")
	cfg, ports := local(t, "n1")
	shut(t, ports)
	if err := run(t.Context(), cfg, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "OTEL_") {
		t.Errorf("ended with %v", err)
	}
}

func TestTraceLog(t *testing.T) {
	var log bytes.Buffer
	cfg := Config{LogFormat: "json"}
	logger := cfg.logger(&log).With("node", "n1")
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	logger.Info("without")
	logger.InfoContext(trace.ContextWithSpanContext(t.Context(), sc), "with", "k", "v")
	logger.WithGroup("g").InfoContext(context.Background(), "grouped", "k", "v")
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 || strings.Contains(lines[0], "trace_id") || strings.Contains(lines[2], "trace_id") ||
		!strings.Contains(lines[1], `"node":"n1","k":"v","trace_id":"01000000000000000000000000000000","span_id":"0200000000000000"`) {
		t.Errorf("log:\n%s", &log)
	}
}

// TestTelemetryErrors: what goes wrong with exports is logged, once in a while.
func TestTelemetryErrors(t *testing.T) {
	var log bytes.Buffer
	logTelemetry((&Config{LogFormat: "text"}).logger(&log))
	defer otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	otel.Handle(errors.New("no collector"))
	otel.Handle(errors.New("no collector"))
	otel.Handle(errors.New("another"))
	if n := strings.Count(log.String(), "level=WARN msg=telemetry err="); n != 2 {
		t.Errorf("log:\n%s", &log)
	}
}

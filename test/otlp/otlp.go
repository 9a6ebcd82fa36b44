// Package otlp is a collector of OpenTelemetry traces inside a test: what a node, a client
// or a whole cluster exports to it over OTLP/gRPC, a test can wait for and look at.
//
// It does not take metrics or logs.
package otlp

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// patience is how long what must be exported may take.
const patience = time.Minute

// A Collector has every span that was exported to it. It ends with its test.
type Collector struct {
	collectorv1.UnimplementedTraceServiceServer

	t       testing.TB
	address string

	mu    sync.Mutex
	spans []Span
	moved chan struct{} // closed at the next export
}

// A Span is one that ended.
type Span struct {
	Name    string
	Kind    tracev1.Span_SpanKind
	TraceID string // hexadecimal, as all ids here
	ID      string
	Parent  string // "" of a root
	Links   []Link
	Start   time.Time
	End     time.Time
	Error   string // of its status

	Attributes map[string]string
	Resource   map[string]string // of whoever exported it
}

// A Link is from a span to another.
type Link struct{ TraceID, ID string }

// New starts a collector on loopback.
func New(t testing.TB) *Collector {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for traces: %v", err)
	}
	c := &Collector{t: t, address: lis.Addr().String(), moved: make(chan struct{})}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("collect traces: %v", err)
		}
	})
	return c
}

// Environ is what has a process export its traces here, as soon as it can.
func (c *Collector) Environ() []string {
	return []string{
		"OTEL_TRACES_EXPORTER=otlp",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + c.address,
		"OTEL_BSP_SCHEDULE_DELAY=50", // ms
	}
}

// Export is part of OTLP.
func (c *Collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.GetResourceSpans() {
		resource := attributesOf(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				c.spans = append(c.spans, spanOf(s, resource))
			}
		}
	}
	close(c.moved)
	c.moved = make(chan struct{})
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// Spans are those that have come so far, in the order in which they came.
func (c *Collector) Spans() []Span {
	spans, _ := c.now()
	return spans
}

func (c *Collector) now() ([]Span, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans[:len(c.spans):len(c.spans)], c.moved
}

// Await returns the spans of the first moment at which check finds nothing missing. It
// fails the test if that does not come.
func (c *Collector) Await(check func([]Span) error) []Span {
	c.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		spans, moved := c.now()
		err := check(spans)
		if err == nil {
			return spans
		}
		select {
		case <-moved:
		case <-limit.C:
			c.t.Fatalf("traces after %v: %v; there are:\n%s", patience, err, list(spans))
		}
	}
}

// Of are the spans of a name.
func Of(spans []Span, name string) (some []Span) {
	for _, s := range spans {
		if s.Name == name {
			some = append(some, s)
		}
	}
	return some
}

// list is a line a span, for people.
func list(spans []Span) (text string) {
	for _, s := range spans {
		text += fmt.Sprintf("%s %s %s of %q: %s %v\n", s.TraceID, s.ID, s.Resource["service.name"], s.Parent, s.Name, s.Attributes)
	}
	return text
}

func spanOf(s *tracev1.Span, resource map[string]string) Span {
	out := Span{
		Name:       s.GetName(),
		Kind:       s.GetKind(),
		TraceID:    hex.EncodeToString(s.GetTraceId()),
		ID:         hex.EncodeToString(s.GetSpanId()),
		Parent:     hex.EncodeToString(s.GetParentSpanId()),
		Start:      time.Unix(0, int64(s.GetStartTimeUnixNano())), //nolint:gosec // before 2262
		End:        time.Unix(0, int64(s.GetEndTimeUnixNano())),   //nolint:gosec // before 2262
		Error:      s.GetStatus().GetMessage(),
		Attributes: attributesOf(s.GetAttributes()),
		Resource:   resource,
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, Link{hex.EncodeToString(l.GetTraceId()), hex.EncodeToString(l.GetSpanId())})
	}
	return out
}

func attributesOf(pairs []*commonv1.KeyValue) map[string]string {
	out := make(map[string]string, len(pairs))
	for _, p := range pairs {
		switch v := p.GetValue().GetValue().(type) {
		case *commonv1.AnyValue_StringValue:
			out[p.GetKey()] = v.StringValue
		default:
			out[p.GetKey()] = fmt.Sprint(plain(v))
		}
	}
	return out
}

// plain is the value of an attribute that is not text.
func plain(v any) any {
	switch v := v.(type) {
	case *commonv1.AnyValue_IntValue:
		return v.IntValue
	case *commonv1.AnyValue_BoolValue:
		return v.BoolValue
	case *commonv1.AnyValue_DoubleValue:
		return v.DoubleValue
	}
	return v
}

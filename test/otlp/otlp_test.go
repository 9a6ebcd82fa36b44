package otlp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"coordd.dev/test/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCollector: what one exports as its Environ says, it has, with everything that is
// asked of it elsewhere.
func TestCollector(t *testing.T) {
	c := otlp.New(t)
	for _, kv := range c.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	exporter, err := autoexport.NewSpanExporter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "x"))))
	ctx, parent := tp.Tracer("test").Start(t.Context(), "parent")
	_, child := tp.Tracer("test").Start(ctx, "child", trace.WithLinks(trace.Link{SpanContext: parent.SpanContext()}),
		trace.WithAttributes(attribute.Int("n", 7), attribute.String("s", "text"), attribute.Bool("b", true)))
	child.SetStatus(codes.Error, "broken")
	child.End()
	first := c.Await(func(spans []otlp.Span) error { // without a flush
		if len(spans) == 0 {
			return errors.New("none has come")
		}
		return nil
	})
	parent.End()
	if err := tp.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := first[0]
	id, traceID := parent.SpanContext().SpanID().String(), parent.SpanContext().TraceID().String()
	want := fmt.Sprint([]any{"child", id, traceID, []otlp.Link{{TraceID: traceID, ID: id}}, "broken", "7 text true", "x"})
	attributes := strings.Join([]string{got.Attributes["n"], got.Attributes["s"], got.Attributes["b"]}, " ")
	if text := fmt.Sprint([]any{got.Name, got.Parent, got.TraceID, got.Links, got.Error, attributes, got.Resource["service.name"]}); text != want {
		t.Errorf("got %s, want %s", text, want)
	}
	if got.End.Before(got.Start) {
		t.Errorf("from %v to %v", got.Start, got.End)
	}
	if roots := otlp.Of(c.Spans(), "parent"); len(roots) != 1 || roots[0].Parent != "" || roots[0].ID != id {
		t.Errorf("roots %v", roots)
	}
}

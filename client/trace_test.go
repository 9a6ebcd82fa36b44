package client_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"coordd.dev/coordtest"
)

// TestCallsAreTraced: the client's calls are spans of the program's own provider, and the
// nodes' spans are their children.
func TestCallsAreTraced(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	defer func() {
		otel.SetTracerProvider(noop.NewTracerProvider())
		otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator())
	}()
	synctest.Test(t, func(t *testing.T) {
		c := coordtest.New(t)
		cl := c.Dial()
		if !cl.Mutex("x").TryLock() {
			t.Error("the lock is taken")
		}
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
	ended := spans.Ended()
	for _, method := range []string{"coord.v1.ClusterService/Status", "coord.v1.SessionService/Attach"} {
		served := func(s sdktrace.ReadOnlySpan) bool {
			return s.Name() == method && s.SpanKind() == trace.SpanKindServer &&
				slices.ContainsFunc(ended, func(c sdktrace.ReadOnlySpan) bool {
					return c.Name() == method && c.SpanKind() == trace.SpanKindClient && c.SpanContext().SpanID() == s.Parent().SpanID()
				})
		}
		if !slices.ContainsFunc(ended, served) {
			t.Errorf("no call %s is traced on both sides, among %d spans", method, len(ended))
		}
	}
}

package client

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"coordd.dev/internal/telemetry"
)

// A tracing is the spans of one acquisition: coord.hold, from the call to the end of the
// hold, and in it coord.acquire, until it is held. nil is one that nobody records.
type tracing struct {
	ctx     context.Context //nolint:containedctx // with the span of the hold: what Hold.Context is made of
	hold    trace.Span
	acquire trace.Span
}

// startTracing begins the spans of an acquisition of w, if ctx is sampled.
func startTracing(ctx context.Context, w *want) *tracing {
	tracer := otel.Tracer("coordd.dev/client")
	ctx, hold := tracer.Start(ctx, "coord.hold")
	if !hold.SpanContext().IsSampled() {
		hold.End()
		return nil
	}
	mode := "exclusive" // made only now: where nobody records it would cost as much as the rest
	if w.shared || w.ref.Kind == KindSemaphore {
		mode = "shared"
	}
	hold.SetAttributes(
		attribute.String("coord.kind", w.ref.Kind.String()),
		attribute.String("coord.name", w.ref.Name),
		attribute.String("coord.mode", mode))
	_, acquire := tracer.Start(ctx, "coord.acquire")
	return &tracing{ctx, hold, acquire}
}

// context is what the cluster keeps beside the wait and the hold, nil for none.
func (t *tracing) context() []byte {
	if t == nil {
		return nil
	}
	return telemetry.Encode(t.hold.SpanContext())
}

// acquired ends coord.acquire. If it waited, the span links to that of the hold that it
// waited for. coord.hold ends with h.
func (t *tracing) acquired(h *Hold, err error) {
	if t == nil {
		return
	}
	if err != nil {
		t.acquire.SetStatus(codes.Error, err.Error())
		t.acquire.End()
		t.hold.SetStatus(codes.Error, err.Error())
		t.hold.End()
		return
	}
	if before := telemetry.Decode(h.waitedFor); before.IsValid() {
		t.acquire.AddLink(trace.Link{SpanContext: before})
	}
	t.hold.SetAttributes(attribute.String("coord.token", h.token.String()))
	t.acquire.End()
	context.AfterFunc(h.Context(), func() { // not under the client's lock: an exporter may wait
		if lost, ok := h.ended().(*LostError); ok { //nolint:errorlint // ended wraps nothing
			t.hold.SetStatus(codes.Error, lost.Reason.String())
		}
		t.hold.End()
	})
}

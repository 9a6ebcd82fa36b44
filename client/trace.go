package client

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	coordv1 "coordd.dev/api/coord/v1"
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

// A choosing is the span of a wait that may come to something else than one hold: coord.send,
// coord.receive, or coord.select. nil is one that nobody records.
type choosing struct{ span trace.Span }

// startChoosing begins the span of a wait for one of the arms, if ctx has a span that is
// sampled. Without one there is none: a loop that waits for work is in nobody's trace, and
// every turn of it would be a trace of its own.
func startChoosing(ctx context.Context, arms []*arm) *choosing {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return nil
	}
	name := "coord.select"
	if len(arms) == 1 {
		op := arms[0].messaging()
		if op == "" {
			return nil
		}
		name = "coord." + op
	}
	_, span := otel.Tracer("coordd.dev/client").Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	if len(arms) == 1 {
		span.SetAttributes(arms[0].attributes()...)
	}
	return &choosing{span}
}

// context is what the cluster keeps beside the wait, and beside what it may come to hold.
func (t *choosing) context() []byte {
	if t == nil {
		return nil
	}
	return telemetry.Encode(t.span.SpanContext())
}

// chosen ends the span and returns err. a is the arm that was chosen, nil for none, and out
// what it came to.
func (t *choosing) chosen(a *arm, out *coordv1.Outcome, err error) error {
	if t == nil {
		return err
	}
	if a != nil {
		t.span.SetAttributes(a.attributes()...)
	}
	if before := telemetry.Decode(out.GetWaitedFor()); before.IsValid() {
		t.span.AddLink(trace.Link{SpanContext: before})
	}
	if err != nil {
		t.span.SetStatus(codes.Error, err.Error())
	}
	t.span.End()
	return err
}

// messaging is what an arm does with a channel, "" if it is on something else.
func (a *arm) messaging() string {
	switch {
	case a.want.ref.Kind != KindChan:
		return ""
	case a.want.wait.GetArms()[0].GetSide() == coordv1.Side_SIDE_SEND:
		return "send"
	default:
		return "receive"
	}
}

// attributes are those of a span about an arm: OpenTelemetry's of messaging too, if it is on a
// channel.
func (a *arm) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("coord.kind", a.want.ref.Kind.String()),
		attribute.String("coord.name", a.want.ref.Name),
	}
	if op := a.messaging(); op != "" {
		all = append(all,
			attribute.String("messaging.system", "coordd"),
			attribute.String("messaging.destination.name", a.want.ref.Name),
			attribute.String("messaging.operation.name", op),
			attribute.String("messaging.operation.type", op))
	}
	return all
}

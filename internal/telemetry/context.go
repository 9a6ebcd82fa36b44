package telemetry

import "go.opentelemetry.io/otel/trace"

// ContextSize is the length of an encoded trace context: trace id (16 bytes), span id (8),
// flags (1). It is what a W3C traceparent says, without its text.
const ContextSize = 25

const (
	spanAt  = 16 // where the span id begins
	flagsAt = 24
)

// Encode returns the ContextSize bytes of sc, nil if it is not sampled: nobody would make
// anything of it.
func Encode(sc trace.SpanContext) []byte {
	if !sampled(sc) {
		return nil
	}
	b := make([]byte, ContextSize)
	traceID, spanID := sc.TraceID(), sc.SpanID()
	copy(b, traceID[:])
	copy(b[spanAt:], spanID[:])
	b[flagsAt] = byte(sc.TraceFlags())
	return b
}

// Decode is the inverse of Encode: a remote context. It is not valid if b is not one that
// Encode could have made; a peer may send anything.
func Decode[B ~[]byte | ~string](b B) trace.SpanContext {
	if len(b) != ContextSize {
		return trace.SpanContext{}
	}
	c := trace.SpanContextConfig{TraceFlags: trace.TraceFlags(b[flagsAt]), Remote: true}
	copy(c.TraceID[:], b[:spanAt])
	copy(c.SpanID[:], b[spanAt:flagsAt])
	if sc := trace.NewSpanContext(c); sampled(sc) {
		return sc
	}
	return trace.SpanContext{}
}

// sampled says whether anything is to be recorded for a child of sc.
func sampled(sc trace.SpanContext) bool { return sc.IsSampled() && sc.IsValid() }

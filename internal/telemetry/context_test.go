package telemetry

import (
	"bytes"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func contextOf(flags trace.TraceFlags) trace.SpanContext {
	c := trace.SpanContextConfig{TraceFlags: flags, Remote: true}
	for i := range c.TraceID {
		c.TraceID[i] = byte(i + 1)
	}
	for i := range c.SpanID {
		c.SpanID[i] = byte(0xf0 + i)
	}
	return trace.NewSpanContext(c)
}

func TestContext(t *testing.T) {
	sc := contextOf(trace.FlagsSampled)
	b := Encode(sc)
	want := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 1}
	if !bytes.Equal(b, want) || len(b) != ContextSize {
		t.Errorf("encoded %x", b)
	}
	if got := Decode(b); !got.Equal(sc) {
		t.Errorf("decoded %v", got)
	}
	if got := Decode(string(b)); !got.Equal(sc) {
		t.Errorf("decoded of a string %v", got)
	}
}

// TestContextRefused: what is not sampled is not sent, and what a peer sends is checked.
func TestContextRefused(t *testing.T) {
	if b := Encode(contextOf(0)); b != nil {
		t.Errorf("of what is not sampled: %x", b)
	}
	if b := Encode(trace.NewSpanContext(trace.SpanContextConfig{TraceFlags: trace.FlagsSampled})); b != nil {
		t.Errorf("of nothing: %x", b)
	}
	good := Encode(contextOf(trace.FlagsSampled))
	noTrace, noSpan, unsampled := bytes.Clone(good), bytes.Clone(good), bytes.Clone(good)
	clear(noTrace[:spanAt])
	clear(noSpan[spanAt:flagsAt])
	unsampled[flagsAt] = 0
	for _, b := range [][]byte{nil, good[:24], append(bytes.Clone(good), 0), noTrace, noSpan, unsampled} {
		if sc := Decode(b); sc.IsValid() || sc.IsSampled() || sc.IsRemote() {
			t.Errorf("%x is %v", b, sc)
		}
	}
}

func TestContextAllocations(t *testing.T) {
	b, not := Encode(contextOf(trace.FlagsSampled)), contextOf(0)
	text := string(b)
	n := testing.AllocsPerRun(100, func() {
		if Encode(not) != nil || !Decode(b).IsValid() || !Decode(text).IsValid() || Decode("").IsValid() {
			t.Error("wrong")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

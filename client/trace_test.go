package client_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// recorder has the spans of this process, until the test ends.
func recorder(t *testing.T) *tracetest.SpanRecorder {
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	t.Cleanup(func() {
		otel.SetTracerProvider(noop.NewTracerProvider())
		otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator())
	})
	return spans
}

// TestCallsAreTraced: the client's calls are spans of the program's own provider, and the
// nodes' spans are their children.
func TestCallsAreTraced(t *testing.T) {
	spans := recorder(t)
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

// TestChannelsAreTraced: sends, receives and selects that are made in a span are spans in it,
// as docs/telemetry.md has them, and what is made in none is none.
func TestChannelsAreTraced(t *testing.T) {
	spans := recorder(t)
	tracer := otel.Tracer("test")
	synctest.Test(t, func(t *testing.T) {
		cl := coordtest.New(t).Dial()
		ch, other := client.NewChan[int](cl, "c", 4), client.NewChan[int](cl, "d", 1)
		mu := cl.Mutex("m")
		useAll := func(ctx context.Context, v int) {
			h, err := mu.LockContext(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			in := other.OnRecv()
			out := ch.OnSend(v)
			timer := client.After(time.Second)
			got, err1 := client.Select(ctx, in, out, mu.OnLock())
			late, err2 := client.Select(ctx, in, mu.OnLock(), timer)
			d, err3 := ch.RecvAck(ctx)
			if err := errors.Join(err1, err2, err3); err != nil || got != out || late != timer || d.Value != v {
				t.Errorf("%v, %v, %v", err, got, late)
				return
			}
			if err := errors.Join(ch.SendContext(ctx, 2), d.Ack(ctx), h.Unlock(ctx)); err != nil {
				t.Error(err)
			}
			if _, _, err := ch.RecvContext(ctx); err != nil {
				t.Error(err)
			}
		}
		useAll(t.Context(), 1)
		if got := named(spans, "coord.send", "coord.receive", "coord.select"); len(got) != 0 {
			t.Errorf("outside of a span there are %v", got)
		}
		spans.Reset()
		ctx, work := tracer.Start(t.Context(), "work")
		useAll(ctx, 1)
		synctest.Wait()
		for _, s := range named(spans, "coord.send", "coord.receive", "coord.select") {
			if s.Parent().SpanID() != work.SpanContext().SpanID() || s.Status().Code == codes.Error || s.SpanKind() != trace.SpanKindClient {
				t.Errorf("%s is of %v, %v, %v", s.Name(), s.Parent(), s.Status(), s.SpanKind())
			}
		}
		if err := ch.CloseContext(ctx); err != nil {
			t.Error(err)
		}
		if err := ch.SendContext(ctx, 3); !errors.Is(err, client.ErrClosed) {
			t.Error(err)
		}
		work.End()
	})
	all := named(spans, "coord.send", "coord.receive", "coord.select", "coord.hold", "coord.acquire")
	if last := all[len(all)-1]; last.Name() != "coord.send" || last.Status().Code != codes.Error {
		t.Errorf("a send on a closed channel is %s, %v", last.Name(), last.Status())
	}
	kinds := map[string]string{}
	for _, s := range all {
		var keys []string
		for _, kv := range s.Attributes() {
			if kv.Key == "messaging.operation.name" && s.Name() != "coord.select" && "coord."+kv.Value.AsString() != s.Name() {
				t.Errorf("%s says that it is %v", s.Name(), kv)
			}
			keys = append(keys, string(kv.Key))
		}
		slices.Sort(keys)
		kinds[s.Name()] = max(kinds[s.Name()], strings.Join(slices.Compact(keys), ", "))
	}
	if diff := cmp.Diff(documented(t), kinds); diff != "" {
		t.Errorf("docs/telemetry.md and the client's spans differ (-docs +made):\n%s", diff)
	}
}

// documented are the attributes of the client's spans, by their names.
func documented(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "\n| client span |")
	table, _, _ = strings.Cut(table, "\n\n")
	all, before := map[string]string{}, ""
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.ReplaceAll(line, "`", ""), "|")
		name, attributes := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		if strings.HasPrefix(attributes, "the same") {
			attributes = before
		}
		all[name], before = attributes, attributes
	}
	return all
}

// named are the spans that have ended and have one of the names.
func named(spans *tracetest.SpanRecorder, names ...string) (some []sdktrace.ReadOnlySpan) {
	for _, s := range spans.Ended() {
		if slices.Contains(names, s.Name()) {
			some = append(some, s)
		}
	}
	return some
}

// TestReceiveLinks: who receives what came back has a link to who had it, and the nodes' spans
// of a send are below it.
func TestReceiveLinks(t *testing.T) {
	spans := recorder(t)
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		cl := cluster.Dial()
		ctx, work := otel.Tracer("test").Start(t.Context(), "work")
		defer work.End()
		ch := client.NewChan[int](cl, "c", 1)
		if err := ch.SendContext(ctx, 1); err != nil {
			t.Fatal(err)
		}
		d, err := ch.RecvAck(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() {
			_, err := ch.RecvAck(ctx)
			got <- err
		}()
		cluster.AwaitWaiters(client.KindChan, "c", 1)
		if err := errors.Join(d.Nack(ctx), <-got); err != nil {
			t.Error(err)
		}
	})
	receives, sends := named(spans, "coord.receive"), named(spans, "coord.send")
	if len(receives) != 2 || len(sends) != 1 {
		t.Fatalf("%v, %v", receives, sends)
	}
	if l := receives[1].Links(); len(receives[0].Links()) != 0 || len(l) != 1 || l[0].SpanContext.SpanID() != receives[0].SpanContext().SpanID() {
		t.Errorf("the links are %v, %v", receives[0].Links(), l)
	}
	if !slices.ContainsFunc(named(spans, "coord.propose"), func(s sdktrace.ReadOnlySpan) bool {
		return s.Parent().SpanID() == sends[0].SpanContext().SpanID()
	}) {
		t.Error("the node has no span of the send")
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"coordd.dev/examples/internal/stage"
)

// flush is how long the last export may take.
const flush = 2 * time.Second

// traced is a role that exports its spans, under the part's name, if the environment says
// where to. The client's own spans go there too.
func traced(role stage.Role) stage.Role {
	return func(ctx context.Context, p stage.Part) (err error) {
		if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
			return role(ctx, p)
		}
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return fmt.Errorf("open traces: %w", err)
		}
		about := resource.NewSchemaless(attribute.String("service.name", p.Name))
		tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
		otel.SetTracerProvider(tp)
		otel.SetTextMapPropagator(propagation.TraceContext{})
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flush)
			defer cancel()
			err = errors.Join(err, tp.Shutdown(ctx))
		}()
		return role(ctx, p)
	}
}

// traceOf is the context of ctx's span, to travel in an element: traceparent.
func traceOf(ctx context.Context) propagation.MapCarrier {
	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	return carrier
}

// continued begins a span of what an element asks for, in the trace that came with it.
func continued(ctx context.Context, from propagation.MapCarrier, name string) (context.Context, trace.Span) {
	ctx = otel.GetTextMapPropagator().Extract(ctx, from)
	return otel.Tracer("sagaorchestrated").Start(ctx, name, trace.WithSpanKind(trace.SpanKindConsumer))
}

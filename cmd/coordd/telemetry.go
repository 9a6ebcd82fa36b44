package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// flushLimit bounds the last export. A collector that does not answer keeps no node.
const flushLimit = 2 * time.Second

// A telemetry is where a node's traces and metrics go. It is the node's own, not the
// process's: dev has several nodes. What the environment says (OTEL_*) the libraries read
// from the process's.
type telemetry struct {
	logger     *slog.Logger
	tracers    trace.TracerProvider
	meters     *sdkmetric.MeterProvider
	propagator propagation.TextMapPropagator
	metrics    http.Handler // serves them to Prometheus
	stops      []func(context.Context) error
}

// openTelemetry fails for an environment that means nothing, never for a collector that
// cannot be reached.
func openTelemetry(ctx context.Context, nodeID string, logger *slog.Logger) (_ *telemetry, err error) {
	t := &telemetry{
		logger:     logger,
		propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	}
	defer func() {
		if err != nil {
			t.close()
			err = fmt.Errorf("open telemetry (see the OTEL_ variables): %w", err)
		}
	}()
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "coordd"),
			attribute.String("service.version", version),
			attribute.String("service.instance.id", nodeID),
		),
		resource.WithFromEnv(), // has the last word
	)
	if err != nil {
		return nil, fmt.Errorf("describe node: %w", err)
	}
	if err := t.openTraces(ctx, about); err != nil {
		return nil, fmt.Errorf("open traces: %w", err)
	}
	if err := t.openMetrics(ctx, about); err != nil {
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	return t, nil
}

// openTraces exports nothing unless the environment says where to.
func (t *telemetry) openTraces(ctx context.Context, about *resource.Resource) error {
	t.tracers = noop.NewTracerProvider()
	if !anySet("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
		return nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return err
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return nil
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	t.tracers = tp
	t.stops = append(t.stops, tp.Shutdown)
	return nil
}

// openMetrics has them read by Prometheus, from this node's admin port, and exported if
// the environment says so. An exporter "prometheus" would be another port for the same.
func (t *telemetry) openMetrics(ctx context.Context, about *resource.Resource) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return err
	}
	options := []sdkmetric.Option{sdkmetric.WithReader(exporter), sdkmetric.WithResource(about)}
	if to := os.Getenv("OTEL_METRICS_EXPORTER"); to != "" && to != "prometheus" {
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return err
		}
		if !autoexport.IsNoneMetricReader(reader) {
			options = append(options, sdkmetric.WithReader(reader))
		}
	}
	t.meters = sdkmetric.NewMeterProvider(options...)
	t.stops = append(t.stops, t.meters.Shutdown)
	t.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry})
	return nil
}

// anySet says whether one of the variables is set and not empty.
func anySet(names ...string) bool {
	for _, name := range names {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// close exports what is left. That it cannot is no reason for a stop to fail.
func (t *telemetry) close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := t.stop(ctx); err != nil {
		t.logger.Warn("some traces or metrics are lost", "err", err)
	}
}

// stop is close that takes as long as ctx lets it.
func (t *telemetry) stop(ctx context.Context) error {
	var errs []error
	for _, stop := range t.stops {
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}

// logTelemetry has the process's log say what goes wrong with exports, each thing once in
// a while.
func logTelemetry(logger *slog.Logger) {
	quiet := slog.New(newQuiet(logger.Handler(), nil))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { quiet.Warn("telemetry", "err", err) }))
}

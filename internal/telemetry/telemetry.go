package telemetry

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// scope is the instrumentation scope of all that is here.
const scope = "coordd.dev"

func tracer(tp trace.TracerProvider) trace.Tracer {
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	return tp.Tracer(scope)
}

func meter(mp metric.MeterProvider) metric.Meter {
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	return mp.Meter(scope)
}

// must returns an instrument, which is of use even with an error: that is for whoever
// chose the provider, and stops no node.
func must[T any](instrument T, err error) T {
	if err != nil {
		otel.Handle(err)
	}
	return instrument
}

// lockSeconds are the bounds of the buckets of waits and holds: from a wait that met
// nobody, a commit, to a job that holds its lock for an hour.
func lockSeconds() []float64 {
	return append(commitSeconds(), 30, 60, 300, 900, 3600)
}

// commitSeconds are those of commits: from a fast disk to the end of all patience.
func commitSeconds() []float64 {
	return []float64{
		0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
	}
}

// applySeconds are those of applying an entry: it may hold one command, or thousands.
func applySeconds() []float64 {
	return append([]float64{0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.00005}, commitSeconds()...)
}

// batchCommands are those of the commands in an entry.
func batchCommands() []float64 {
	return []float64{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192}
}

package client_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// light is what a program that imports the client gets besides the standard library.
// gRPC and protobuf bring what is theirs.
var light = []string{
	"coordd.dev/api/",
	"coordd.dev/client",
	"coordd.dev/internal/certs",   // the words of what TLS refuses
	"coordd.dev/internal/durable", // of certs, which also makes files
	"coordd.dev/internal/lessee",
	"coordd.dev/internal/telemetry", // the form of a trace context
	"github.com/cenkalti/backoff/v5",
	"github.com/cespare/xxhash/v2", // of OpenTelemetry's attributes
	"github.com/go-logr/",          // of OpenTelemetry
	"go.opentelemetry.io/auto/sdk", // of OpenTelemetry: lets an agent trace a program without an SDK
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
	"go.opentelemetry.io/otel", // the API
	"google.golang.org/genproto/googleapis/rpc/",
	"google.golang.org/grpc",
	"google.golang.org/protobuf/",
	"golang.org/x/net/",
	"golang.org/x/sys/",
	"golang.org/x/text/",
	"github.com/golang/protobuf/",
}

// heavy is what has a prefix in light, and is not.
var heavy = []string{"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters"}

// The client and the api stay light: no engine, nothing heavy.
func TestDependencies(t *testing.T) {
	for _, pkg := range []string{"coordd.dev/client", "coordd.dev/client/fence", "coordd.dev/api/coord/v1"} {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		if !slices.Contains(deps, pkg) {
			t.Fatalf("%s has no dependencies: %q", pkg, out)
		}
		for _, dep := range deps {
			has := func(prefix string) bool { return strings.HasPrefix(dep, prefix) }
			if !slices.ContainsFunc(light, has) || slices.ContainsFunc(heavy, has) {
				t.Errorf("%s depends on %s", pkg, dep)
			}
		}
	}
}

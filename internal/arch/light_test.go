package arch

import (
	"slices"
	"testing"
)

// lightModules are all that a program gets into its build by importing the client, the
// fence or the api. A row more is a burden on every user; say why it is worth it.
var lightModules = []string{
	"github.com/cenkalti/backoff/v5", // between tries to find a leader
	"github.com/cespare/xxhash/v2",   // of otel: hashes attributes
	"github.com/go-logr/logr",        // of otel: its own log
	"github.com/go-logr/stdr",        // of otel: where that goes by default
	"go.opentelemetry.io/auto/sdk",   // of otel: lets an agent trace a program that has no SDK
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc", // spans and durations of the calls
	"go.opentelemetry.io/otel",                  // the API: traces go from the program through the cluster
	"go.opentelemetry.io/otel/log",              // of otel: types only
	"go.opentelemetry.io/otel/metric",           // the API
	"go.opentelemetry.io/otel/trace",            // the API
	"golang.org/x/net",                          // of grpc
	"golang.org/x/sys",                          // of grpc
	"golang.org/x/text",                         // of grpc
	"google.golang.org/genproto/googleapis/rpc", // ErrorInfo
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

func TestClientIsLight(t *testing.T) {
	for _, m := range modulesOf(t, "./client/...", "./api/...") {
		if !slices.Contains(lightModules, m) {
			t.Errorf("client and api bring along %s", m)
		}
	}
}

// The same question about the daemon must show its engine, else TestClientIsLight could
// not fail.
func TestModulesAreSeen(t *testing.T) {
	if !slices.Contains(modulesOf(t, "./raftstore/..."), "github.com/hashicorp/raft") {
		t.Error("raftstore's modules are not seen")
	}
}

// modulesOf are the modules, other than this one, of all that packages import.
func modulesOf(t *testing.T, patterns ...string) []string {
	t.Helper()
	var modules []string
	for _, p := range list(t, append([]string{"-deps"}, patterns...)...) {
		if p.Module != nil && p.Module.Path+"/" != module && !slices.Contains(modules, p.Module.Path) {
			modules = append(modules, p.Module.Path)
		}
	}
	return modules
}

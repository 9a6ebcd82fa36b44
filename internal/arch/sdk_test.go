package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sdks are what decides where telemetry goes. Who runs a program decides that, so they
// belong to the commands; all else has the API.
var sdks = []string{
	"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters", "go.opentelemetry.io/contrib/exporters",
	"go.opentelemetry.io/proto", "github.com/prometheus/",
}

// sdkRooms may import them, and so may tests. An example that is traced is a command too.
var sdkRooms = []string{"cmd/coordd", "examples/sagaorchestrated", "test/otlp"}

func TestSDKInCommandsOnly(t *testing.T) {
	seen := false
	for _, p := range list(t, "./...") {
		faults := ofSDK(p)
		seen = seen || len(faults) > 0
		for _, fault := range faults {
			if !slices.Contains(sdkRooms, p.room()) {
				t.Error(fault)
			}
		}
	}
	if !seen {
		t.Error("nobody imports an SDK: this test could not fail")
	}
}

// ofSDK says what of p's imports belongs to the commands.
func ofSDK(p listed) (faults []string) {
	for _, imported := range p.Imports {
		if slices.ContainsFunc(sdks, func(prefix string) bool { return strings.HasPrefix(imported, prefix) }) {
			faults = append(faults, fmt.Sprintf("%s imports %s, which is for the commands", p.room(), imported))
		}
	}
	return faults
}

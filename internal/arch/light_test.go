package arch

import (
	"slices"
	"testing"
)

// lightModules are all that a program gets into its build by importing the client, the
// fence or the api. A row more is a burden on every user; say why it is worth it.
var lightModules = []string{
	"github.com/cenkalti/backoff/v5",            // between tries to find a leader
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

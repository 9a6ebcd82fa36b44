package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/test/daemons"
)

// limit ends a test that hangs.
const limit = 8 * time.Minute

// endLimit is the same for a node that is to end by itself.
const endLimit = 60 * time.Second

// binaries is where TestMain put coordd and coordctl, built once for all tests.
var binaries string

func TestMain(m *testing.M) {
	if role := os.Getenv("E2E_ROLE"); role != "" {
		if err := work(role); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "coordd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, cmd := range []string{"coordd.dev/cmd/coordd", "coordd.dev/cmd/coordctl"} {
		if _, err := daemons.Build(context.Background(), cmd, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	binaries = dir
	return m.Run()
}

func coordd() string   { return filepath.Join(binaries, "coordd") }
func coordctl() string { return filepath.Join(binaries, "coordctl") }

// bounded is a context for one test.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// cluster starts three nodes; they are stopped in the end, and must stop well.
func cluster(ctx context.Context, t *testing.T, env ...string) *daemons.Cluster {
	t.Helper()
	dir := t.TempDir()
	c, err := daemons.New(coordd(), dir, 3)
	if err == nil {
		c.Setenv(env...)
		err = c.Start(ctx)
	}
	if err != nil {
		printLogs(t, dir)
		t.Fatal(err)
	}
	stopAtEnd(t, c, dir)
	return c
}

// stopAtEnd has a cluster stopped, well, when the test ends, and its logs shown if that failed.
func stopAtEnd(t *testing.T, c *daemons.Cluster, dir string) {
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			printLogs(t, dir)
		}
	})
}

// ofLeader is the status of a cluster as its leader has it.
func ofLeader(ctx context.Context, t *testing.T, c *daemons.Cluster) *coordv1.StatusResponse {
	t.Helper()
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	st, err := leader.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func printLogs(t *testing.T, dir string) {
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, name := range logs {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		t.Logf("%s:\n%s", filepath.Base(name), b[max(0, len(b)-8<<10):])
	}
}

// killLeader kills the leader with SIGKILL, waits until another node leads, and starts
// it again with the same command line.
func killLeader(ctx context.Context, t *testing.T, c *daemons.Cluster) {
	t.Helper()
	old, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if _, err := c.Leader(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s killed; the next leader after %v", old.Name, time.Since(killed).Round(time.Millisecond))
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	if err := old.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

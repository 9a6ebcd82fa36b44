package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coordd.dev/test/daemons"
)

// used is what a leader logs when the cluster goes on to use what all its members know.
const used = "all members know a newer version of the machine"

// buildOlder builds a coordd that knows one version of the machine less.
func buildOlder(ctx context.Context, t *testing.T) string {
	t.Helper()
	const source, now, before = "../../internal/machine/version.go", "Version = 2\n", "Version = 1\n"
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), "\t"+now) != 1 {
		t.Fatalf("%s does not say %q once: the test is to say what it says now", source, now)
	}
	dir := t.TempDir()
	older := filepath.Join(dir, "version.go")
	if err := os.WriteFile(older, []byte(strings.Replace(string(text), "\t"+now, "\t"+before, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	place, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {place: older}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := daemons.Build(ctx, "coordd.dev/cmd/coordd", dir, "-overlay", list)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// TestRollingUpgrade restarts the nodes of a cluster under load with a newer coordd, one after
// the other: what that brings is used once the last has it, and not before; nothing fails
// meanwhile; and an older one stops then before it applies what it does not know (SEMANTICS H2).
func TestRollingUpgrade(t *testing.T) {
	ctx := bounded(t)
	older := buildOlder(ctx, t)
	dir := t.TempDir()
	c, err := daemons.Start(ctx, older, dir, 3)
	if err != nil {
		printLogs(t, dir)
		t.Fatal(err)
	}
	stopAtEnd(t, c, dir)
	l := startLoad(ctx, t, c.Target())
	l.goesOn(ctx, t)
	for _, n := range c.Nodes() {
		if says(t, c, used) {
			t.Error("it is used before all members know it")
		}
		n.Use(coordd())
		what := restart(ctx, t, c, n)
		l.goesOn(ctx, t)
		t.Logf("%s with the newer coordd: the longest round took %v", what, l.gap())
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !says(t, c, used) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it is not used although all members know it")
		}
	}
	l.goesOn(ctx, t)
	l.finish(ctx, t)

	back := c.Nodes()[0]
	if err := back.Terminate(); err != nil {
		t.Fatal(err)
	}
	back.Use(older)
	if err := back.Start(); err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	if code, err := back.Ended(within); err != nil || code != 1 || !says(t, c, "start a newer coordd here") {
		t.Errorf("the older one ended with %d (%v), and does not say what to do", code, err)
	}
	back.Use(coordd())
	if err := back.Start(); err != nil {
		t.Fatal(err)
	}
	if err := back.AwaitReady(ctx); err != nil {
		t.Error(err)
	}
}

// says reports whether any node has logged the words.
func says(t *testing.T, c *daemons.Cluster, words string) bool {
	t.Helper()
	for _, n := range c.Nodes() {
		b, err := os.ReadFile(n.Log())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), words) {
			return true
		}
	}
	return false
}

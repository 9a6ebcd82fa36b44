package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"coordd.dev/test/daemons"
)

const (
	loops      = 8
	increments = 25
)

// Eight shell loops do unprotected read-modify-writes of a file under coordctl lock,
// while the leader is killed twice: nothing is lost, tokens rise, no run fails.
func TestCounterUnderKills(t *testing.T) {
	ctx := bounded(t)
	c := cluster(ctx, t)
	dir := t.TempDir()
	counter, tokens := filepath.Join(dir, "counter"), filepath.Join(dir, "tokens")
	for _, name := range []string{counter, tokens} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The shell's own arithmetic on what it read before; no atomic step anywhere.
	step := fmt.Sprintf(`n=$(cat %[1]s); echo $((n+1)) > %[1]s; echo $COORD_FENCING_TOKEN >> %[2]s`, counter, tokens)
	loop := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do %s --timeout 60 lock --ttl 30s counter -- sh -c '%s' || exit; i=$((i+1)); done`,
		increments, coordctl(), step)
	failed := make(chan error, loops)
	for range loops {
		go func() { failed <- shell(ctx, c, loop) }()
	}
	for _, after := range []int{loops * increments / 4, loops * increments / 2} {
		awaitLines(ctx, t, tokens, after)
		killLeader(ctx, t, c)
	}
	for range loops {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	b, err := os.ReadFile(counter)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(b)); got != strconv.Itoa(loops*increments) {
		t.Errorf("the counter ends at %s, not %d", got, loops*increments)
	}
	if n := checkRising(t, tokens); n != loops*increments {
		t.Errorf("%d tokens, not %d", n, loops*increments)
	}
}

// shell runs a script against the cluster; its error has what it wrote.
func shell(ctx context.Context, c *daemons.Cluster, script string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = append(os.Environ(), "COORD_ENDPOINTS="+c.Target())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("shell loop: %w\n%s", err, out)
	}
	return nil
}

// awaitLines waits until a file has n lines.
func awaitLines(ctx context.Context, t *testing.T, name string, n int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(b), "\n") >= n {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s has %d lines after %v, not %d", name, strings.Count(string(b), "\n"), limit, n)
		}
	}
}

// checkRising checks that each line is a greater number than the one before.
func checkRising(t *testing.T, name string) (n int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last := uint64(0)
	for s := bufio.NewScanner(f); s.Scan(); n++ {
		token, err := strconv.ParseUint(s.Text(), 10, 63)
		if err != nil || token <= last {
			t.Errorf("token %q after %d: %v", s.Text(), last, err)
		}
		last = token
	}
	return n
}

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/test/daemons"
)

// electionTimeout is the daemon's default.
const electionTimeout = 300 * time.Millisecond

// 64 goroutines in 4 processes on a mutex, a read-write mutex and a semaphore, while the
// leader is killed, and another one stopped for three election timeouts and continued.
func TestExclusionOfProcesses(t *testing.T) {
	ctx := bounded(t)
	c := cluster(ctx, t)
	dir := t.TempDir()
	failed := make(chan error, 4)
	for range cap(failed) {
		go func() { failed <- worker(ctx, c, dir) }()
	}
	awaitFile(ctx, t, dir+"/m.token")
	killLeader(ctx, t, c)
	stopLeader(ctx, t, c)
	killLeader(ctx, t, c)
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	checkNothingLeft(ctx, t, c)
}

func worker(ctx context.Context, c *daemons.Cluster, dir string) error {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "E2E_ROLE=exclude", "E2E_SCENE="+dir, "COORD_ENDPOINTS="+c.Target())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("worker: %w\n%s", err, out)
	}
	return nil
}

func awaitFile(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(name); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no %s after %v", name, limit)
		}
	}
}

// stopLeader stops the leader's process for three election timeouts.
func stopLeader(ctx context.Context, t *testing.T, c *daemons.Cluster) {
	t.Helper()
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pause := time.NewTimer(3 * electionTimeout) // the fault, not a wait for something
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	if err := leader.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s stopped for %v", leader.Name, 3*electionTimeout)
}

// checkNothingLeft waits until every session has ended, and with it everything that was
// held: by itself, or with its lease if its farewell, for which it has a second, was cut
// off.
func checkNothingLeft(ctx context.Context, t *testing.T, c *daemons.Cluster) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := counts(ctx, c)
		if err == nil && n.GetHolds() == 0 && n.GetWaiters() == 0 && n.GetSessions() == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("left in the cluster after %v: %v (%v)", limit, n, err)
		}
	}
}

// counts asks the leader, which may be another by the time that it answers.
func counts(ctx context.Context, c *daemons.Cluster) (*coordv1.Counts, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	st, err := leader.Status(ctx)
	if err != nil {
		return nil, err
	}
	return st.GetCounts(), nil
}

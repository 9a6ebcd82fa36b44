package e2e

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/test/daemons"
)

// Nodes that are to wait for a backup let no client spoil the cluster first: it comes, waits, and has
// its lock once the backup is restored. The flag then has no effect, however often a node starts.
func TestAwaitRestore(t *testing.T) {
	t.Parallel() // it waits more than it does
	ctx := bounded(t)
	file := backupOf(ctx, t)
	c := nodes(ctx, t, 3, "--await-restore")
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	refused(ctx, t, c)
	if err := leader.Ready(ctx); err == nil || !strings.Contains(err.Error(), "waits for a backup: coordctl snapshot restore FILE") {
		t.Errorf("ready: %v", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- lockOnce(ctx, c) }()

	snapshot(ctx, t, c, "restore", file)
	if err := <-waiting; err != nil {
		t.Error("a client that came before the restore: ", err)
	}
	killLeader(ctx, t, c) // and starts it again, with the flag
	for _, n := range c.Nodes() {
		if err := n.AwaitReady(ctx); err != nil {
			t.Error(err)
		}
	}
	checkStored(ctx, t, dialed(ctx, t, c))
}

// Without the flag the first client spoils it.
func TestRestoreAfterAClient(t *testing.T) {
	ctx := bounded(t)
	file := backupOf(ctx, t)
	c := nodes(ctx, t, 1)
	dialed(ctx, t, c)
	cmd := exec.CommandContext(ctx, coordctl(), "--endpoints", c.Target(), "snapshot", "restore", file)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 5 || !strings.Contains(string(out), "not empty") {
		t.Errorf("%v: %v\n%s", cmd, err, out)
	}
}

// backupOf is a backup of a node that is gone again.
func backupOf(ctx context.Context, t *testing.T) string {
	t.Helper()
	c := nodes(ctx, t, 1)
	store(ctx, t, c)
	file := filepath.Join(t.TempDir(), "all.backup")
	snapshot(ctx, t, c, "save", file)
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	return file
}

// nodes starts a cluster and waits until it answers, ready or not.
func nodes(ctx context.Context, t *testing.T, n int, flags ...string) *daemons.Cluster {
	t.Helper()
	dir := t.TempDir()
	c, err := daemons.New(coordd(), dir, n, flags...)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, c, dir)
	for _, node := range c.Nodes() {
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Leader(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// refused is a client that comes too early, and gives up.
func refused(ctx context.Context, t *testing.T, c *daemons.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	cl, err := client.Dial(ctx, c.Target())
	if err == nil {
		_ = cl.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "waits for a backup") {
		t.Errorf("a client that comes too early: %v", err)
	}
}

// lockOnce is a client that wants a lock.
func lockOnce(ctx context.Context, c *daemons.Cluster) error {
	cl, err := client.Dial(ctx, c.Target(), client.WithTTL(backupTTL))
	if err != nil {
		return err
	}
	h, err := cl.Mutex("load").LockContext(ctx)
	if err == nil {
		err = h.Unlock(ctx)
	}
	return errors.Join(err, cl.Close())
}

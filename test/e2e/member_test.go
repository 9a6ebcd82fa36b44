package e2e

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"coordd.dev/test/daemons"
)

// TestReplaceInPlace: a node whose directory was wiped is put back at its own address by one
// command, which takes nobody out while nobody waits there to be put in.
func TestReplaceInPlace(t *testing.T) {
	t.Parallel() // it waits more than it does
	ctx := bounded(t)
	c := cluster(ctx, t)
	n := c.Nodes()[0] // the first to be asked, so that what waits to be added is asked too
	before := members(ctx, t, c)
	refused := func(n *daemons.Node, why string) {
		t.Helper()
		out, err := replaceInPlace(ctx, c, n)
		if err == nil || !strings.Contains(out, why) {
			t.Errorf("got %v, want %q:\n%s", err, why, out)
		}
		if after := members(ctx, t, c); !slices.Equal(before, after) {
			t.Fatalf("the members were %v, are %v", before, after)
		}
	}
	for _, at := range c.Nodes() { // a leader is one of them
		refused(at, "is there itself; stop it, empty its data directory")
	}
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	refused(n, "no node answers there")

	if err := os.RemoveAll(n.Data); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitServing(ctx); err != nil {
		t.Fatal(err)
	}
	if out, err := replaceInPlace(ctx, c, n); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if err := n.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if after := members(ctx, t, c); slices.Equal(before, after) || len(after) != 3 {
		t.Errorf("the members were %v, are %v", before, after)
	}
}

func replaceInPlace(ctx context.Context, c *daemons.Cluster, n *daemons.Node) (out string, err error) {
	cmd := exec.CommandContext(ctx, coordctl(), "--endpoints", c.Target(), "--timeout", "30s", "member", "replace", n.Peer, n.Peer)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// members are the ids of those in the configuration, as the leader has it.
func members(ctx context.Context, t *testing.T, c *daemons.Cluster) (ids []string) {
	t.Helper()
	for _, m := range ofLeader(ctx, t, c).GetMembers() {
		ids = append(ids, m.GetId())
	}
	slices.Sort(ids)
	return ids
}

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"coordd.dev/test/daemons"
)

// copied copies the node's directory while it does not run, and lets it go on.
func (v *victim) copied(ctx context.Context) (kept string) {
	v.t.Helper()
	kept = filepath.Join(v.t.TempDir(), "copy")
	v.must(v.Kill(), exec.CommandContext(ctx, "cp", "-a", v.Data, kept).Run(), v.Start(), v.AwaitReady(ctx))
	return kept
}

// putBack puts the copy in the place of what the node has by now. It does not run.
func (v *victim) putBack(ctx context.Context, kept string) {
	v.t.Helper()
	v.must(os.RemoveAll(v.Data), exec.CommandContext(ctx, "cp", "-a", kept, v.Data).Run())
}

// awaitSeen waits until the others have seen this node with all that it has now.
func (v *victim) awaitSeen(ctx context.Context, others ...*daemons.Node) {
	v.t.Helper()
	st, err := v.Status(ctx)
	v.must(err)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, other := range others {
		for floorOf(v.t, other, st.GetNodeId()) < st.GetAppliedIndex() {
			select {
			case <-tick.C:
			case <-ctx.Done():
				v.t.Fatalf("%s has seen it at %d, not at %d", other.Name, floorOf(v.t, other, st.GetNodeId()), st.GetAppliedIndex())
			}
		}
	}
}

// floorOf is what a node has noted of another one, in its directory.
func floorOf(t *testing.T, n *daemons.Node, id string) uint64 {
	t.Helper()
	var record struct {
		Floors map[string]uint64 `json:"floors"`
	}
	b, err := os.ReadFile(filepath.Join(n.Data, "node.json"))
	if err == nil {
		err = json.Unmarshal(b, &record)
	}
	if err != nil {
		t.Fatal(err)
	}
	return record.Floors[id]
}

// oldCopyOf is what a node says whose data are an old copy, and which was the one by the id.
func (v *victim) oldCopyOf(id string) []string {
	return []string{v.Data + " is an old copy", "its log ends at entry", "has seen this node with entry", "member replace " + id + " " + v.Peer}
}

// mended does what the node says, and holds that it is whole then.
func (v *victim) mended(ctx context.Context, id string) {
	v.t.Helper()
	v.must(os.RemoveAll(v.Data), v.Start(), v.AwaitServing(ctx))
	out, err := exec.CommandContext(ctx, coordctl(), "--endpoints", v.ledger.cluster.Target(), "--timeout", "60s",
		"member", "replace", id, v.Peer).CombinedOutput()
	if err != nil {
		v.t.Fatalf("%v\n%s", err, out)
	}
	v.awaitVote(ctx)
	v.must(v.Terminate())
	v.comesBack(ctx)
}

// TestOldCopy: a directory that was put back from a copy is noticed by what the others have seen,
// although nothing in it shows; they go on, and the node is mended as it says.
func TestOldCopy(t *testing.T) {
	t.Parallel() // it waits more than it does
	ctx := bounded(t)
	v := victimOf(ctx, t, nil)
	st, err := v.Status(ctx)
	v.must(err)
	kept := v.copied(ctx)
	v.ledger.write(ctx, 5)
	v.awaitSeen(ctx, v.others...)
	v.must(v.Kill())
	v.putBack(ctx, kept)
	for range 2 { // it does not get over it
		v.refusesToStart(ctx, v.oldCopyOf(st.GetNodeId())...)
	}
	v.mended(ctx, st.GetNodeId())
}

// TestOldCopyDoesNotVote: an entry is on two of three nodes, one of which comes back without it, and
// the other one is dead. The two that are left are a majority, and neither has it; but the third
// has seen the second with more than it has now. The same without that is TestOldCopyLosesEntries
// in raftstore/hraft.
func TestOldCopyDoesNotVote(t *testing.T) {
	t.Parallel() // it waits more than it does
	ctx := bounded(t)
	v := victimOf(ctx, t, nil)
	leader, err := v.ledger.cluster.Leader(ctx)
	v.must(err)
	if leader == v.Node { // then another leads, and goes on to
		v.must(v.Kill())
		leader, err = v.ledger.cluster.Leader(ctx)
		v.must(err, v.Start(), v.AwaitReady(ctx))
	}
	behind := v.others[0]
	if leader == behind {
		behind = v.others[1]
	}
	st, err := v.Status(ctx)
	v.must(err)
	kept := v.copied(ctx)
	v.ledger.write(ctx, 3)
	v.awaitSeen(ctx, behind)
	v.must(behind.Kill())
	v.ledger.write(ctx, 3) // acknowledged, by the leader and the one that forgets
	v.must(leader.Kill(), v.Kill())
	v.putBack(ctx, kept)
	v.must(v.Start(), v.AwaitServing(ctx)) // with nobody there who could tell it anything
	v.must(behind.Start())
	v.endsSaying(ctx, v.oldCopyOf(st.GetNodeId())...)
	v.must(leader.Start())
	v.ledger.write(ctx, 1)
	v.ledger.check(ctx)
	v.mended(ctx, st.GetNodeId())
}

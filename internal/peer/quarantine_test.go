package peer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"coordd.dev/raftstore"
)

// member makes a directory that of a member with raft's data in it.
func memberDir(t *testing.T, others ...raftstore.Member) (dir, nodeID string) {
	t.Helper()
	dir = t.TempDir()
	id := openIdentity(t, dir)
	if err := errors.Join(id.Adopt("c1"), id.Confirm(),
		id.Know(append(others, raftstore.Member{ID: id.NodeID(), Address: "a:1", Voter: true}))); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(id.RaftDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(id.RaftDir(), "log"), []byte("promises"), 0o600); err != nil {
		t.Fatal(err)
	}
	nodeID = id.NodeID()
	closeIdentity(t, id)
	return dir, nodeID
}

// TestGiveUp: the directory is another node's after it, which says whom it replaces until it
// is a member; what was there is set aside, and is not touched again.
func TestGiveUp(t *testing.T) {
	dir, old := memberDir(t, raftstore.Member{ID: "n2", Address: "b:1", Voter: true})
	id := openIdentity(t, dir)
	as, aside, err := id.GiveUp()
	if err != nil {
		t.Fatal(err)
	}
	if id.NodeID() != old || id.Phase() != PhaseMember {
		t.Errorf("the process became %s, %s", id.NodeID(), id.Phase())
	}
	// What the old process still writes must not undo it.
	if err := id.Confirm(); err != nil {
		t.Error(err)
	}
	if err := id.Know(nil); err != nil {
		t.Error(err)
	}
	if _, _, err := id.GiveUp(); !errors.Is(err, errGivenUp) {
		t.Errorf("given up twice: %v", err)
	}
	closeIdentity(t, id)

	for range 2 {
		id = openIdentity(t, dir)
		if id.NodeID() != as || id.NodeID() == old || id.Replaces() != old || id.Phase() != PhaseAdopted || id.ClusterID() != "c1" {
			t.Errorf("opened as %s for %q, %s of %s", id.NodeID(), id.Replaces(), id.Phase(), id.ClusterID())
		}
		if data, err := os.ReadFile(filepath.Join(aside, "log")); err != nil || string(data) != "promises" {
			t.Errorf("set aside: %q, %v", data, err)
		}
		if _, err := os.Stat(id.RaftDir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("raft's directory: %v", err)
		}
		closeIdentity(t, id)
	}

	// Its own data are not set aside, even if somebody has removed the old ones.
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, raftDir), 0o700), os.RemoveAll(aside)); err != nil {
		t.Fatal(err)
	}
	id = openIdentity(t, dir)
	if _, err := os.Stat(id.RaftDir()); err != nil {
		t.Error(err)
	}
	if err := id.Confirm(); err != nil || id.Replaces() != "" {
		t.Errorf("as a member it replaces %q, %v", id.Replaces(), err)
	}
	closeIdentity(t, id)
}

// TestGiveUpAgain: one that has not become a member gives up too, for the same place.
func TestGiveUpAgain(t *testing.T) {
	dir, old := memberDir(t, raftstore.Member{ID: "n2", Address: "b:1", Voter: true})
	seen := map[string]bool{old: true}
	for range 3 {
		id := openIdentity(t, dir)
		as, _, err := id.GiveUp()
		if err != nil || seen[as] {
			t.Fatalf("given up as %s, %v", as, err)
		}
		seen[as] = true
		closeIdentity(t, id)
		id = openIdentity(t, dir)
		if id.NodeID() != as || id.Replaces() != old {
			t.Errorf("%s is to replace %s", id.NodeID(), id.Replaces())
		}
		closeIdentity(t, id)
	}
}

// TestGiveUpCrash: wherever the process dies, the next one sets aside the old data and no
// others.
func TestGiveUpCrash(t *testing.T) {
	dir, old := memberDir(t, raftstore.Member{ID: "n2", Address: "b:1", Voter: true})
	id := openIdentity(t, dir)
	_, aside, err := id.GiveUp()
	if err != nil {
		t.Fatal(err)
	}
	closeIdentity(t, id)
	before, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		t.Fatal(err)
	}
	id = openIdentity(t, dir)
	closeIdentity(t, id)
	// It died after the directory was renamed, and before that was noted.
	if err := os.WriteFile(filepath.Join(dir, recordFile), before, 0o600); err != nil {
		t.Fatal(err)
	}
	id = openIdentity(t, dir)
	defer closeIdentity(t, id)
	if data, err := os.ReadFile(filepath.Join(aside, "log")); err != nil || string(data) != "promises" || id.Replaces() != old {
		t.Errorf("set aside: %q, %v, for %s", data, err, id.Replaces())
	}
}

// TestGiveUpAlone: who is the only one with the data keeps them.
func TestGiveUpAlone(t *testing.T) {
	dir, old := memberDir(t)
	id := openIdentity(t, dir)
	if _, _, err := id.GiveUp(); !errors.Is(err, ErrAlone) {
		t.Errorf("given up: %v", err)
	}
	closeIdentity(t, id)
	id = openIdentity(t, dir)
	defer closeIdentity(t, id)
	if data, err := os.ReadFile(filepath.Join(id.RaftDir(), "log")); err != nil || string(data) != "promises" || id.NodeID() != old {
		t.Errorf("%q, %v, of %s", data, err, id.NodeID())
	}
}

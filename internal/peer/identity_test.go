package peer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/raftstore"
)

func openIdentity(t *testing.T, dir string) *Identity {
	t.Helper()
	id, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func closeIdentity(t *testing.T, id *Identity) {
	t.Helper()
	if err := id.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestIdentityIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	id := openIdentity(t, dir)
	node := id.NodeID()
	if len(node) != 16 || id.ClusterID() != "" || id.Phase() != PhaseFresh {
		t.Fatalf("fresh node is %q of %q, %s", node, id.ClusterID(), id.Phase())
	}
	if err := id.Adopt("c1"); err != nil {
		t.Fatal(err)
	}
	<-id.Joined()
	closeIdentity(t, id)

	id = openIdentity(t, dir)
	defer closeIdentity(t, id)
	if id.NodeID() != node || id.ClusterID() != "c1" || id.Phase() != PhaseAdopted {
		t.Errorf("reopened node is %q of %q, %s", id.NodeID(), id.ClusterID(), id.Phase())
	}
	<-id.Joined()

	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, recordFile): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %o, want %o", path, got, want)
		}
	}
}

func TestIdentityOfWipedDirectoryIsNew(t *testing.T) {
	dir := t.TempDir()
	id := openIdentity(t, dir)
	before := id.NodeID()
	closeIdentity(t, id)
	if err := os.Remove(filepath.Join(dir, recordFile)); err != nil {
		t.Fatal(err)
	}
	id = openIdentity(t, dir)
	defer closeIdentity(t, id)
	if id.NodeID() == before {
		t.Error("a wiped directory kept its node id")
	}
}

func TestIdentityLock(t *testing.T) {
	dir := t.TempDir()
	id := openIdentity(t, dir)
	_, err := OpenIdentity(dir)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second open: %v", err)
	}
	closeIdentity(t, id)
	closeIdentity(t, openIdentity(t, dir))
}

func TestIdentityRefusesWhatItDoesNotUnderstand(t *testing.T) {
	tests := map[string]struct {
		file, content, want string
	}{
		"not json":      {recordFile, "{", "damaged"},
		"empty":         {recordFile, "", "damaged"},
		"later version": {recordFile, `{"version":2,"node_id":"n","phase":"fresh"}`, "version 2"},
		"no id":         {recordFile, `{"version":1,"phase":"fresh"}`, "no node id"},
		"phase":         {recordFile, `{"version":1,"node_id":"n","phase":"x"}`, `unknown phase "x"`},
		"no cluster":    {recordFile, `{"version":1,"node_id":"n","phase":"member"}`, "cluster id"},
		"no servers":    {recordFile, `{"version":1,"node_id":"n","phase":"decided","cluster_id":"c"}`, "0 servers"},
		"other data":    {"photo.jpg", "", "not empty"},
		"lost record":   {"raft", "", "not empty"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenIdentity(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want %q and the directory", err, tt.want)
			}
		})
	}
}

// TestIdentityPhases walks all pairs of steps: each happens only where it may, and a
// refused one changes nothing on disk.
func TestIdentityPhases(t *testing.T) {
	servers := []raftstore.Member{{ID: "n", Address: "a:1", Voter: true}}
	steps := map[string]func(*Identity) error{
		"adopt c1": func(id *Identity) error { return id.Adopt("c1") },
		"adopt c2": func(id *Identity) error { return id.Adopt("c2") },
		"mint":     (*Identity).mint,
		"decide":   func(id *Identity) error { return id.decide(servers) },
		"confirm":  (*Identity).Confirm,
	}
	allowed := map[string][]string{
		"":         {"adopt c1", "adopt c2", "mint", "decide"},
		"adopt c1": {"adopt c1", "confirm"},
		"adopt c2": {"adopt c2", "confirm"},
		"mint":     {"decide"},
		"decide":   {"confirm"},
	}
	for first, ok := range allowed {
		for second, step := range steps {
			t.Run(first+" then "+second, func(t *testing.T) {
				dir := t.TempDir()
				id := openIdentity(t, dir)
				defer closeIdentity(t, id)
				if first != "" {
					if err := steps[first](id); err != nil {
						t.Fatal(err)
					}
				}
				before, _ := readRecord(dir)
				err := step(id)
				after, rerr := readRecord(dir)
				if rerr != nil {
					t.Fatal(rerr)
				}
				if want := slices.Contains(ok, second); want != (err == nil) {
					t.Errorf("allowed is %v, got %v", want, err)
				}
				if err != nil && !cmp.Equal(before, after) {
					t.Errorf("refused, but changed:\n%s", cmp.Diff(before, after))
				}
				if !cmp.Equal(id.record, after) {
					t.Errorf("memory differs from disk:\n%s", cmp.Diff(id.record, after))
				}
			})
		}
	}
}

func TestIdentityAdoptsOnce(t *testing.T) {
	id := openIdentity(t, t.TempDir())
	defer closeIdentity(t, id)
	if err := id.Adopt("c1"); err != nil {
		t.Fatal(err)
	}
	if err := id.Adopt("c2"); !errors.Is(err, ErrWrongCluster) {
		t.Errorf("second cluster: %v", err)
	}
}

// TestIdentityCrashInWrite leaves what a crash before the rename leaves.
func TestIdentityCrashInWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, recordFile+".new"), []byte("{\"ver"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := openIdentity(t, dir)
	defer closeIdentity(t, id)
	if id.Phase() != PhaseFresh {
		t.Errorf("phase is %s", id.Phase())
	}
}

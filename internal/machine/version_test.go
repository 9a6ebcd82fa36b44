package machine_test

import (
	"bytes"
	"strings"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

func versionSpecimens() []machine.Command {
	return []machine.Command{
		&machine.Upgrade{Version: machine.Version},
		&machine.Checkpoint{},
		&machine.Verdict{Index: 7, Hashes: []machine.NodeHash{{Node: "a", Hash: 1 << 60}, {Node: "b", Hash: 3}}},
	}
}

// TestUpgrade: a version is used from its entry on, on every node, and never taken back.
func TestUpgrade(t *testing.T) {
	m := machine.New()
	if got := m.Version(); got != 1 {
		t.Fatalf("begins with version %d", got)
	}
	hash := m.Hash()
	results, _ := m.Apply(1, 0, []machine.Command{
		&machine.Upgrade{Version: 0}, &machine.Upgrade{Version: machine.Version + 1},
		&machine.Upgrade{Version: machine.Version}, &machine.Upgrade{Version: 1},
	})
	want := []any{park.Invalid, park.Invalid, park.Done, park.Done}
	for i := range want {
		if results[i] != want[i] {
			t.Errorf("upgrade %d: %v, want %v", i, results[i], want[i])
		}
	}
	if got := m.Version(); got != machine.Version {
		t.Errorf("version %d", got)
	}
	if m.Hash() == hash {
		t.Error("the state hash does not have the version")
	}
	old, text := golden(t, "snapshot-5", m)
	if old.Version() != machine.Version {
		t.Errorf("restored with version %d", old.Version())
	}
	if !bytes.HasPrefix(text, []byte("coordd snapshot 5\n")) {
		t.Errorf("begins with %q", text[:18])
	}
}

// TestUpgradeUnknown: a build that does not know a version stops before it applies it.
func TestUpgradeUnknown(t *testing.T) {
	data := machine.AppendCommand(nil, &machine.Upgrade{Version: machine.Version + 1})
	if _, err := machine.DecodeCommand(data); err == nil || !strings.Contains(err.Error(), "start a newer coordd here") {
		t.Errorf("decoded: %v", err)
	}
	b := machine.AppendCommand(nil, &machine.Verdict{Hashes: make([]machine.NodeHash, machine.MaxHashes+1)})
	if _, err := machine.DecodeCommand(b); err == nil {
		t.Error("decoded a verdict on more nodes than there may be")
	}
}

func TestMajority(t *testing.T) {
	of := func(hashes ...uint64) *machine.Verdict {
		v := &machine.Verdict{}
		for _, h := range hashes {
			v.Hashes = append(v.Hashes, machine.NodeHash{Hash: h})
		}
		return v
	}
	for _, test := range []struct {
		of   *machine.Verdict
		want uint64
		ok   bool
	}{
		{of(), 0, false},
		{of(1), 1, true},
		{of(1, 2), 0, false},
		{of(1, 2, 2), 2, true},
		{of(1, 2, 2, 1), 0, false},
		{of(1, 2, 3, 1, 1), 1, true},
	} {
		if got, ok := test.of.Majority(); got != test.want || ok != test.ok {
			t.Errorf("majority of %+v: %d, %v", test.of.Hashes, got, ok)
		}
	}
}

// TestRestoreNewer: a cluster that may not use a version yet takes no backup of it: a node
// of an older build could not.
func TestRestoreNewer(t *testing.T) {
	newer := machine.New()
	newer.Apply(1, 0, []machine.Command{&machine.Bootstrap{Cluster: "old"}, &machine.Upgrade{Version: machine.Version}})
	for version, want := range map[uint64]machine.RestoreCode{1: machine.RestoreDamaged, machine.Version: machine.RestoreDone} {
		m := machine.New()
		m.Apply(1, 0, []machine.Command{&machine.Bootstrap{Cluster: "new"}, &machine.Upgrade{Version: version}})
		commands := restoring(written(t, newer), 1000)
		results, _ := m.Apply(2, 0, commands)
		if got := results[len(results)-1].(machine.Restored); got.Code != want { //nolint:forcetypeassert // a finish has no other
			t.Errorf("version %d: %+v", version, got)
		}
	}
}

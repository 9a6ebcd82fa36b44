package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"coordd.dev/internal/durable"
	"coordd.dev/raftstore"
)

const (
	recordFile    = "node.json"
	lockFile      = "lock"
	recordVersion = 1
)

// A Phase is how far a node has come in becoming a member of a cluster. It only ever
// goes forward: fresh, forming, decided, member; or fresh, adopted, member.
type Phase string

const (
	// PhaseFresh: in no cluster.
	PhaseFresh Phase = "fresh"
	// PhaseForming: this node minted its cluster's id and collects who adopts it.
	PhaseForming Phase = "forming"
	// PhaseDecided: this node fixed the first configuration; raft has to have it yet.
	PhaseDecided Phase = "decided"
	// PhaseAdopted: this node has the cluster id of others and waits for raft.
	PhaseAdopted Phase = "adopted"
	// PhaseMember: raft's own data has a configuration with this node.
	PhaseMember Phase = "member"
)

// follows says which phases a phase may come after.
func (p Phase) follows(before Phase) bool {
	switch p {
	case PhaseForming, PhaseAdopted:
		return before == PhaseFresh
	case PhaseDecided:
		return before == PhaseFresh || before == PhaseForming
	case PhaseMember:
		return before == PhaseDecided || before == PhaseAdopted || before == PhaseMember
	case PhaseFresh:
		return false
	}
	return false
}

// A record is what the data directory says about its node. It is the only thing that
// formation writes, and one write of it is one decision.
type record struct {
	Version   int    `json:"version"`
	NodeID    string `json:"node_id"`
	ClusterID string `json:"cluster_id,omitempty"`
	Phase     Phase  `json:"phase"`
	// Servers is the first configuration, from PhaseDecided until PhaseMember.
	Servers []raftstore.Member `json:"servers,omitempty"`
	// Members is the configuration as it was last known here.
	Members []raftstore.Member `json:"members,omitempty"`
	// Floors are, by member's id, the highest log index that it was ever heard to have applied.
	Floors map[string]uint64 `json:"floors,omitempty"`
	// Replaces is the node that this one was until its data were given up; until PhaseMember.
	Replaces string `json:"replaces,omitempty"`
	// Aside is what raft's directory is to be renamed to before it is used again.
	Aside string `json:"aside,omitempty"`
}

func (r record) validate() error {
	var errs []error
	if r.Version != recordVersion {
		errs = append(errs, fmt.Errorf("version %d is not known to this coordd", r.Version))
	}
	if r.NodeID == "" {
		errs = append(errs, errors.New("no node id"))
	}
	switch r.Phase {
	case PhaseFresh, PhaseForming, PhaseDecided, PhaseAdopted, PhaseMember:
	default:
		errs = append(errs, fmt.Errorf("unknown phase %q", r.Phase))
	}
	if (r.Phase == PhaseFresh) != (r.ClusterID == "") {
		errs = append(errs, fmt.Errorf("phase %q with cluster id %q", r.Phase, r.ClusterID))
	}
	if (r.Phase == PhaseDecided) != (len(r.Servers) > 0) {
		errs = append(errs, fmt.Errorf("phase %q with %d servers", r.Phase, len(r.Servers)))
	}
	return errors.Join(errs...)
}

// readRecord returns fs.ErrNotExist if the directory has none yet.
func readRecord(dir string) (record, error) {
	path := filepath.Join(dir, recordFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return record{}, fmt.Errorf("read identity: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, damaged(path, err)
	}
	if err := r.validate(); err != nil {
		return record{}, damaged(path, err)
	}
	return r, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("read identity: %s is damaged (%w): restore it, or wipe the whole "+
		"directory %s and add the node anew", path, err, filepath.Dir(path))
}

// writeRecord replaces the record: after a crash the directory has the old one or the
// new one, whole. The directory is synced too, else the rename may be lost with the
// power, and with it a promise that was already sent.
func writeRecord(dir string, r record) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write identity: %w", err)
		}
	}()
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, recordFile), append(data, '\n'))
}

package peer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"coordd.dev/internal/durable"
	"coordd.dev/raftstore"
)

// raftDir is where raft's data are, below the data directory.
const raftDir = "raft"

var (
	// ErrAlone says that there is nobody from whom a node could get its data anew.
	ErrAlone = errors.New("no other member has the data")

	errGivenUp = errors.New("this node's data were given up: the directory is another node's by now")
)

// RaftDir is where raft's data are.
func (id *Identity) RaftDir() string { return filepath.Join(id.dir, raftDir) }

// Replaces is the node that this one was until its data were given up, "" for every other
// and once it is a member.
func (id *Identity) Replaces() string {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.record.Replaces
}

// Know notes the configuration, for a node that may lose it.
func (id *Identity) Know(members []raftstore.Member) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.givenUp || slices.Equal(id.record.Members, members) {
		return nil
	}
	next := id.record
	next.Members = slices.Clone(members)
	if err := writeRecord(id.dir, next); err != nil {
		return err
	}
	id.record = next
	return nil
}

// GiveUp makes the directory that of a new node, which is to replace this one in its cluster:
// raft's data cannot be trusted. They are set aside when the directory is opened next. What
// they promised nobody may promise again, so this node's id is never used again. The error
// is ErrAlone if no other member is known, and then nothing has changed.
//
// The process must end: it is still the old node.
func (id *Identity) GiveUp() (asNode, aside string, err error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	other := func(m raftstore.Member) bool { return m.ID != id.nodeID }
	switch {
	case id.givenUp:
		return "", "", fmt.Errorf("give up data: %w", errGivenUp)
	case id.record.Phase == PhaseAdopted && id.record.Replaces != "":
		// It has never been a member: it is still the same one's place that it is to take.
	case !slices.ContainsFunc(id.record.Members, other):
		return "", "", fmt.Errorf("give up data: %w", ErrAlone)
	}
	next := record{
		Version: recordVersion, NodeID: randomID(8), ClusterID: id.record.ClusterID, Phase: PhaseAdopted,
		Members: id.record.Members, Floors: id.record.Floors, Replaces: id.nodeID, Aside: raftDir + ".damaged-" + id.nodeID,
	}
	if id.record.Replaces != "" && id.record.Phase == PhaseAdopted {
		next.Replaces = id.record.Replaces
	}
	if err := writeRecord(id.dir, next); err != nil {
		return "", "", fmt.Errorf("give up data: %w", err)
	}
	id.givenUp = true
	return next.NodeID, filepath.Join(id.dir, next.Aside), nil
}

// setAside does what GiveUp has left to do. A crash may come anywhere: the record says what
// is to be done until it is, and is written again only then.
func setAside(dir string, r record) (record, error) {
	if r.Aside == "" {
		return r, nil
	}
	from, to := filepath.Join(dir, raftDir), filepath.Join(dir, r.Aside)
	if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, fmt.Errorf("set damaged data aside: %w", err)
		}
		if err := durable.SyncDir(dir); err != nil {
			return r, fmt.Errorf("set damaged data aside: %w", err)
		}
	}
	r.Aside = ""
	return r, writeRecord(dir, r)
}

package peer

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"coordd.dev/internal/durable"
	"coordd.dev/raftstore"
)

// An Identity is who a node is, kept in its data directory, which it holds locked.
// Its methods may be called by several goroutines.
type Identity struct {
	dir    string
	nodeID string
	lock   *os.File

	mu      sync.Mutex
	record  record        // as on disk, or, once givenUp, as it was before
	joined  chan struct{} // closed once there is a cluster id
	givenUp bool
}

// OpenIdentity takes the data directory, making it if need be, and reads who the node
// is. A directory without a node gets a new one with a new id: a node whose data were
// wiped must never speak for the one it was (invariant 2).
func OpenIdentity(dir string) (*Identity, error) {
	if err := durable.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	r, err := readRecord(dir)
	if errors.Is(err, fs.ErrNotExist) {
		r, err = newRecord(dir)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if r, err = setAside(dir, r); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	id := &Identity{dir: dir, nodeID: r.NodeID, lock: lock, record: r, joined: make(chan struct{})}
	if r.ClusterID != "" {
		close(id.joined)
	}
	return id, nil
}

// newRecord gives an empty directory its node. One that has other data but lost its
// record is refused: its log must not come back under another id.
func newRecord(dir string) (record, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return record{}, fmt.Errorf("read data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != lockFile && e.Name() != recordFile+".new" && e.Name() != "lost+found" {
			return record{}, fmt.Errorf("read identity: directory %s has no %s but is not empty (%s): "+
				"choose another --data-dir, or empty this one", dir, recordFile, e.Name())
		}
	}
	r := record{Version: recordVersion, NodeID: randomID(8), Phase: PhaseFresh}
	return r, writeRecord(dir, r)
}

// lockDir holds off a second daemon. The kernel drops the lock with the process, so
// nothing is left behind by kill -9.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("directory %s is in use by another coordd: stop that one, or "+
			"choose another --data-dir", dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), f.Close())
	}
	return f, nil
}

// randomID returns n random bytes in hex.
func randomID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails: see crypto/rand
	return hex.EncodeToString(b)
}

// Close gives the directory back.
func (id *Identity) Close() error {
	if err := id.lock.Close(); err != nil {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}

// Dir is the data directory.
func (id *Identity) Dir() string { return id.dir }

// NodeID never changes.
func (id *Identity) NodeID() string { return id.nodeID }

// ClusterID is empty until the node has joined a cluster, and then never changes.
func (id *Identity) ClusterID() string {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.record.ClusterID
}

// Phase is how far the node has come.
func (id *Identity) Phase() Phase {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.record.Phase
}

// joinedAs is ClusterID and Phase, as of one moment.
func (id *Identity) joinedAs() (cluster string, phase Phase) {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.record.ClusterID, id.record.Phase
}

// Servers is the decided first configuration, until Confirm.
func (id *Identity) Servers() []raftstore.Member {
	id.mu.Lock()
	defer id.mu.Unlock()
	return slices.Clone(id.record.Servers)
}

// Joined is closed once there is a cluster id.
func (id *Identity) Joined() <-chan struct{} { return id.joined }

// Adopt makes the cluster's id this node's, if it has none. It returns ErrWrongCluster
// if it has another.
func (id *Identity) Adopt(cluster string) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.record.ClusterID == cluster {
		return nil
	}
	if id.record.ClusterID != "" {
		return fmt.Errorf("adopt cluster %s: %w: this node is of %s", cluster, ErrWrongCluster, id.record.ClusterID)
	}
	next := id.record
	next.Phase, next.ClusterID = PhaseAdopted, cluster
	return id.advance(next)
}

// mint begins a cluster: it gives this node a new cluster id for others to adopt. It
// returns errAdopted if this node has adopted one, which the mux may do at any moment.
func (id *Identity) mint() error {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.record.Phase == PhaseAdopted {
		return errAdopted
	}
	next := id.record
	next.Phase, next.ClusterID = PhaseForming, randomID(16)
	return id.advance(next)
}

// decide fixes the first configuration, once. A fresh node alone mints in the same
// write.
func (id *Identity) decide(servers []raftstore.Member) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	next := id.record
	if next.ClusterID == "" {
		next.ClusterID = randomID(16)
	}
	next.Phase, next.Servers = PhaseDecided, slices.Clone(servers)
	return id.advance(next)
}

// Confirm notes that raft's own data has a configuration with this node. From then on
// a directory without raft's data is one that lost them.
func (id *Identity) Confirm() error {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.record.Phase == PhaseMember {
		return nil
	}
	next := id.record
	next.Phase, next.Servers, next.Replaces = PhaseMember, nil, ""
	return id.advance(next)
}

// advance writes the next record; the caller holds mu. Memory follows disk, never the
// other way, so that nothing is told to a peer that a crash could take back.
func (id *Identity) advance(next record) error {
	before := id.record
	if id.givenUp {
		return fmt.Errorf("write identity: %w", errGivenUp)
	}
	if !next.Phase.follows(before.Phase) {
		return fmt.Errorf("write identity: a node that is %s cannot become %s", before.Phase, next.Phase)
	}
	if err := writeRecord(id.dir, next); err != nil {
		return err
	}
	id.record = next
	if before.ClusterID == "" {
		close(id.joined)
	}
	return nil
}

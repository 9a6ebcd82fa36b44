package hraft

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"

	"coordd.dev/internal/durable"
)

// keptSnapshots is two. A node starts from no other than the newest; the one before is
// for people, if that is damaged.
const keptSnapshots = 2

// A Disk is a node's stores in a directory: a log and a stable store (raft-wal), and
// snapshots as files.
type Disk struct {
	LogStore      raft.LogStore
	StableStore   raft.StableStore
	SnapshotStore raft.SnapshotStore

	wal     *wal.WAL
	written *written
	lock    *os.File
}

// OpenDisk opens a directory, or makes it: wal/ has the log, snapshots/ the snapshots, and
// written how far the log goes. It fails at once if another process has it open, and with
// ErrDamaged if what is in it is not what was written. logger may be nil.
func OpenDisk(dir string, logger *slog.Logger) (_ *Disk, err error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	d := new(Disk)
	walDir, snapDir := filepath.Join(dir, "wal"), filepath.Join(dir, "snapshots")
	for _, dir := range []string{walDir, snapDir} {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return nil, fmt.Errorf("open disk: %w", err)
		}
	}
	// What is acknowledged is in files that the first write makes and syncs; these are the
	// ways to them.
	for _, dir := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if err := durable.SyncDir(dir); err != nil {
			return nil, fmt.Errorf("open disk: %w", err)
		}
	}
	if d.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	if err := removeUnfinished(snapDir); err != nil {
		return nil, errors.Join(fmt.Errorf("open disk: %w", err), d.Close())
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, keptSnapshots, newHCLog(logger))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshots: %w", err), d.Close())
	}
	d.SnapshotStore = privateSnapshots{files, snapDir}
	if err := d.openLog(dir, walDir, logger); err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), d.Close())
	}
	return d, nil
}

// openLog opens the log and verifies it.
func (d *Disk) openLog(dir, walDir string, logger *slog.Logger) error {
	snapshot, err := newest(d.SnapshotStore)
	if err != nil {
		return err
	}
	meta := filepath.Join(walDir, metadb.FileName)
	_, missing := os.Stat(meta)
	none := errors.Is(missing, fs.ErrNotExist)
	if d.written, err = openWritten(filepath.Join(dir, "written"), none && snapshot.index == 0); err != nil {
		return err
	}
	if none && d.written.at.index > 0 { // raft-wal would make a new log, and remove what is left of this
		return fmt.Errorf("%w: %s is missing", ErrDamaged, meta)
	}
	unmade := newFailure()
	var db metadb.BoltMetaDB // raft-wal leaves it open, and locked, if it fails
	err = judge(orPanic(func() (err error) {
		d.wal, err = wal.Open(walDir,
			wal.WithMetaStore(&db),
			wal.WithLogger(newHCLog(logger)),
			wal.WithSegmentFiler(segment.NewFiler(walDir, privateFS{walfs.New(), unmade})))
		return err
	}))
	if err != nil {
		return errors.Join(err, db.Close())
	}
	if err := os.Chmod(meta, fileMode); err != nil {
		return err
	}
	log := &diskLog{WAL: d.wal, written: d.written, snapshots: d.SnapshotStore, unmade: unmade}
	if err := log.check(); err != nil {
		return err
	}
	d.LogStore = log
	d.StableStore, err = openVotes(d.wal, d.written.at.index > 0)
	return err
}

// LastIndex is where the log ends, or the newest snapshot if that goes further.
func (d *Disk) LastIndex() (uint64, error) {
	last, err := d.LogStore.LastIndex()
	if err != nil {
		return 0, fmt.Errorf("find the log's end: %w", err)
	}
	snapshot, err := newest(d.SnapshotStore)
	if err != nil {
		return 0, fmt.Errorf("find the log's end: %w", err)
	}
	return max(last, snapshot.index), nil
}

// Close closes the files, and must come after the Engine's. Whatever was written is
// already synced.
func (d *Disk) Close() error {
	var errs []error
	if d.wal != nil {
		errs = append(errs, d.wal.Close())
	}
	if d.written != nil {
		errs = append(errs, d.written.close())
	}
	errs = append(errs, d.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close disk: %w", err)
	}
	return nil
}

// lockFile makes sure that a directory has one process: two would destroy it, and
// the library below waits for the other one to end without a word.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: another process has this directory open: %w", name, err)
	}
	return f, nil
}

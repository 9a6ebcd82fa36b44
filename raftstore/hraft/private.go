package hraft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hashicorp/raft"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// The libraries make files that everybody may read. These make them the owner's.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// privateFS is raft-wal's file system.
type privateFS struct {
	*walfs.FS
	unmade *failure // why a segment could not be made, which raft-wal only logs
}

// Create is part of types.VFS.
func (p privateFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := p.FS.Create(dir, name, size)
	if err != nil {
		p.unmade.report(fmt.Errorf("make segment %s: %w", name, err))
		return nil, err // raft-wal knows its errors
	}
	if err := os.Chmod(filepath.Join(dir, name), fileMode); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("create segment: %w", err)
	}
	return f, nil
}

// privateSnapshots is raft's snapshot store.
type privateSnapshots struct {
	raft.SnapshotStore
	dir string
}

// Create is part of raft.SnapshotStore. The snapshot is a directory with a name for the
// time while it is written, and two files.
func (p privateSnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	sink, err := p.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err // raft knows its errors
	}
	dir := filepath.Join(p.dir, sink.ID()+unfinished)
	for _, file := range []struct {
		name string
		mode os.FileMode
	}{{".", dirMode}, {"meta.json", fileMode}, {"state.bin", fileMode}} {
		if err := os.Chmod(filepath.Join(dir, file.name), file.mode); err != nil {
			_ = sink.Cancel()
			return nil, fmt.Errorf("create snapshot: %w", err)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "state.bin"), os.O_WRONLY, fileMode)
	if err != nil {
		_ = sink.Cancel()
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	return &steadySink{SnapshotSink: sink, dir: dir, file: f}, nil
}

// unfinished ends the name of a snapshot that is being written.
const unfinished = ".tmp"

// removeUnfinished removes what a process that was killed left: raft never does, and each may
// be as large as the state.
func removeUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("remove unfinished snapshots: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), unfinished) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove unfinished snapshot: %w", err)
		}
	}
	return nil
}

// steadyBytes is how much of a snapshot is written before it is synced.
const steadyBytes = 1 << 20

// A steadySink syncs what it has written every now and then. Left to the end, a sync of a
// large snapshot holds up those of the log, which are of the same file system, for as
// long as it takes the disk to write it all: a stall of every commit meanwhile.
type steadySink struct {
	raft.SnapshotSink
	dir     string   // until the snapshot is finished
	file    *os.File // the sink's own, opened once more
	written int      // since the last sync
}

// Write is part of raft.SnapshotSink.
func (s *steadySink) Write(b []byte) (int, error) {
	n, err := s.SnapshotSink.Write(b)
	if err != nil {
		return n, err // raft's
	}
	if s.written += n; s.written >= steadyBytes {
		s.written = 0
		if err := s.file.Sync(); err != nil {
			return n, fmt.Errorf("sync snapshot: %w", err)
		}
	}
	runtime.Gosched()
	return n, nil
}

// Close is part of raft.SnapshotSink.
func (s *steadySink) Close() error {
	_ = s.file.Close() // it only synced, and raft may close and cancel
	return s.orRemove(s.SnapshotSink.Close())
}

// Cancel is part of raft.SnapshotSink.
func (s *steadySink) Cancel() error {
	_ = s.file.Close()
	return s.orRemove(s.SnapshotSink.Cancel())
}

// orRemove removes what raft's sink left when it failed: on a full disk, say, that is the
// very thing that fills it.
func (s *steadySink) orRemove(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

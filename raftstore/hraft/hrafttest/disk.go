package hrafttest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/hashicorp/raft"
)

var errCrashed = errors.New("disk: the node that wrote has crashed")

// A Disk is what stays of a node when it dies: its log, its stable store and its
// snapshots. The zero value is empty.
type Disk struct {
	mu        sync.Mutex
	open      *Stores // who may write
	logs      []*raft.Log
	stable    map[string][]byte
	snapshots []snapshot // oldest first
	made      int        // snapshots ever
}

type snapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

// Stores are a disk in the hands of one life of a node: its log store, stable store
// and snapshot store.
type Stores struct{ disk *Disk }

// Open gives the disk to a node. Nothing that an earlier one still writes is kept.
func (d *Disk) Open() *Stores {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = &Stores{d}
	return d.open
}

// Crash takes the disk away from the node that has it: what it writes from now on is
// not kept, as after the death of its process.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
}

// Copy is a disk with what is on this one now.
func (d *Disk) Copy() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{logs: slices.Clone(d.logs), stable: maps.Clone(d.stable), snapshots: slices.Clone(d.snapshots), made: d.made}
}

// write does f if s still has the disk.
func (s *Stores) write(f func(d *Disk) error) error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.disk.open != s {
		return errCrashed
	}
	return f(s.disk)
}

func (s *Stores) read(f func(d *Disk) error) error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return f(s.disk)
}

// IsMonotonic is part of raft.MonotonicLogStore: like raft-wal, it has no gaps.
func (s *Stores) IsMonotonic() bool { return true }

// FirstIndex is part of raft.LogStore.
func (s *Stores) FirstIndex() (index uint64, err error) {
	err = s.read(func(d *Disk) error {
		if len(d.logs) > 0 {
			index = d.logs[0].Index
		}
		return nil
	})
	return index, err
}

// LastIndex is part of raft.LogStore.
func (s *Stores) LastIndex() (index uint64, err error) {
	err = s.read(func(d *Disk) error {
		if n := len(d.logs); n > 0 {
			index = d.logs[n-1].Index
		}
		return nil
	})
	return index, err
}

// GetLog is part of raft.LogStore.
func (s *Stores) GetLog(index uint64, l *raft.Log) error {
	return s.read(func(d *Disk) error {
		if len(d.logs) == 0 || index < d.logs[0].Index || index-d.logs[0].Index >= uint64(len(d.logs)) {
			return raft.ErrLogNotFound
		}
		*l = clone(d.logs[index-d.logs[0].Index])
		return nil
	})
}

// clone keeps the node from the disk's memory, as a real disk does.
func clone(l *raft.Log) raft.Log {
	c := *l
	c.Data, c.Extensions = bytes.Clone(l.Data), bytes.Clone(l.Extensions)
	return c
}

// StoreLog is part of raft.LogStore.
func (s *Stores) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs is part of raft.LogStore. They are synced when it returns.
func (s *Stores) StoreLogs(logs []*raft.Log) error {
	return s.write(func(d *Disk) error {
		for _, l := range logs {
			if n := len(d.logs); n > 0 && l.Index != d.logs[n-1].Index+1 {
				return fmt.Errorf("disk: entry %d after %d", l.Index, d.logs[n-1].Index)
			}
			c := clone(l)
			d.logs = append(d.logs, &c)
		}
		return nil
	})
}

// DeleteRange is part of raft.LogStore. A range is a beginning or an end of the log.
func (s *Stores) DeleteRange(first, last uint64) error {
	return s.write(func(d *Disk) error {
		from, _ := slices.BinarySearchFunc(d.logs, first, byIndex)
		to, _ := slices.BinarySearchFunc(d.logs, last+1, byIndex)
		if from > 0 && to < len(d.logs) {
			return fmt.Errorf("disk: range %d to %d is in the middle of the log", first, last)
		}
		d.logs = slices.Delete(d.logs, from, to)
		return nil
	})
}

func byIndex(l *raft.Log, index uint64) int {
	switch {
	case l.Index < index:
		return -1
	case l.Index > index:
		return 1
	}
	return 0
}

// Set is part of raft.StableStore. A crashed node is told that all is well: it can no
// longer reach anybody, and raft panics if it cannot write its term.
func (s *Stores) Set(key, value []byte) error {
	err := s.write(func(d *Disk) error {
		if d.stable == nil {
			d.stable = make(map[string][]byte)
		}
		d.stable[string(key)] = bytes.Clone(value)
		return nil
	})
	if errors.Is(err, errCrashed) {
		return nil
	}
	return err
}

// Get is part of raft.StableStore.
func (s *Stores) Get(key []byte) (value []byte, err error) {
	err = s.read(func(d *Disk) error {
		value = bytes.Clone(d.stable[string(key)])
		return nil
	})
	return value, err
}

// SetUint64 is part of raft.StableStore.
func (s *Stores) SetUint64(key []byte, value uint64) error {
	return s.Set(key, strconv.AppendUint(nil, value, 10))
}

// GetUint64 is part of raft.StableStore.
func (s *Stores) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil || len(value) == 0 {
		return 0, err
	}
	return strconv.ParseUint(string(value), 10, 64)
}

// List is part of raft.SnapshotStore: the newest first.
func (s *Stores) List() (metas []*raft.SnapshotMeta, err error) {
	err = s.read(func(d *Disk) error {
		for i := len(d.snapshots) - 1; i >= 0; i-- {
			meta := d.snapshots[i].meta
			metas = append(metas, &meta)
		}
		return nil
	})
	return metas, err
}

// Open is part of raft.SnapshotStore.
func (s *Stores) Open(id string) (meta *raft.SnapshotMeta, data io.ReadCloser, err error) {
	err = s.read(func(d *Disk) error {
		for _, snap := range d.snapshots {
			if snap.meta.ID == id {
				found := snap.meta
				meta, data = &found, io.NopCloser(bytes.NewReader(snap.data))
				return nil
			}
		}
		return fmt.Errorf("disk: no snapshot %s", id)
	})
	return meta, data, err
}

// Create is part of raft.SnapshotStore.
func (s *Stores) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	k := &sink{stores: s, meta: raft.SnapshotMeta{
		Version:            version,
		Index:              index,
		Term:               term,
		Configuration:      configuration,
		ConfigurationIndex: configurationIndex,
	}}
	err := s.write(func(d *Disk) error {
		d.made++
		k.meta.ID = fmt.Sprintf("%d-%d-%d", term, index, d.made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// A sink is a snapshot that is being written. It is kept only once it is closed.
type sink struct {
	stores *Stores
	meta   raft.SnapshotMeta
	buf    bytes.Buffer
	closed bool
}

// ID is part of raft.SnapshotSink.
func (k *sink) ID() string { return k.meta.ID }

// Write is part of raft.SnapshotSink.
func (k *sink) Write(p []byte) (int, error) { return k.buf.Write(p) }

// Cancel is part of raft.SnapshotSink.
func (k *sink) Cancel() error {
	k.closed = true
	return nil
}

// Close is part of raft.SnapshotSink. The two newest are kept.
func (k *sink) Close() error {
	if k.closed {
		return nil
	}
	k.closed = true
	k.meta.Size = int64(k.buf.Len())
	return k.stores.write(func(d *Disk) error {
		d.snapshots = append(d.snapshots, snapshot{k.meta, k.buf.Bytes()})
		slices.SortStableFunc(d.snapshots, func(a, b snapshot) int {
			return cmp.Or(cmp.Compare(a.meta.Term, b.meta.Term), cmp.Compare(a.meta.Index, b.meta.Index))
		})
		if n := len(d.snapshots); n > 2 {
			d.snapshots = slices.Delete(d.snapshots, 0, n-2)
		}
		return nil
	})
}

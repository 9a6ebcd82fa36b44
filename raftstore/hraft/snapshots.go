package hraft

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// A placedStore has one snapshot, and gives readers that know where in the log it is:
// raft hands an FSM only the reader.
type placedStore struct {
	raft.SnapshotStore
	unread func(error) // told why one could not be read
}

// List is part of raft.SnapshotStore: the newest only. raft would start from an older
// one if that is damaged, and the log need not go back that far: the node would forget
// what it has told others that it has, and vote as if it never had.
func (s placedStore) List() ([]*raft.SnapshotMeta, error) {
	metas, err := s.SnapshotStore.List()
	if err != nil {
		return nil, err // raft's, as in Open
	}
	return metas[:min(1, len(metas))], nil
}

// Open is part of raft.SnapshotStore.
func (s placedStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, source, err := s.SnapshotStore.Open(id)
	if err != nil {
		err = fmt.Errorf("open snapshot %s: %w", id, judge(err))
		s.unread(err)
		return nil, nil, err
	}
	return meta, placedReader{source, position{meta.Index, meta.Term}}, nil
}

type placedReader struct {
	io.ReadCloser
	at position
}

// positionOf finds the placedReader that raft has wrapped.
func positionOf(source io.ReadCloser) position {
	for {
		switch r := source.(type) {
		case placedReader:
			return r.at
		case raft.ReadCloserWrapper:
			source = r.WrappedReadCloser()
		default:
			return position{}
		}
	}
}

// clearStale deletes a log that does not go on from the newest snapshot: that of a leader
// took its place, and the process ended before raft had deleted it. raft could append
// nothing to a log that ends before the snapshot, and would send others what stands, of
// another term, before a snapshot's entry.
func clearStale(log raft.LogStore, snapshots raft.SnapshotStore) error {
	at, err := newest(snapshots)
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	first, err := log.FirstIndex()
	if err != nil {
		return fmt.Errorf("read first index of log: %w", err)
	}
	last, err := log.LastIndex()
	if err != nil {
		return fmt.Errorf("read last index of log: %w", err)
	}
	if last == 0 || at.index < first {
		return nil
	}
	if at.index <= last {
		var l raft.Log
		if err := log.GetLog(at.index, &l); err != nil {
			return fmt.Errorf("read log entry %d: %w", at.index, err)
		}
		if l.Term == at.term {
			return nil
		}
	}
	if err := log.DeleteRange(first, last); err != nil {
		return fmt.Errorf("delete log %d to %d before snapshot at %d: %w", first, last, at.index, err)
	}
	return nil
}

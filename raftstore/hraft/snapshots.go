package hraft

import (
	"io"

	"github.com/hashicorp/raft"
)

// A placedStore has one snapshot, and gives readers that know where in the log it is:
// raft hands an FSM only the reader.
type placedStore struct{ raft.SnapshotStore }

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
		return nil, nil, err // raft's: it logs it and knows the store's errors
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

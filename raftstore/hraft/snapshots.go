package hraft

import (
	"io"

	"github.com/hashicorp/raft"
)

// A placedStore gives readers that know where in the log their snapshot is: raft hands
// an FSM only the reader.
type placedStore struct{ raft.SnapshotStore }

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

package hraft

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
)

// errOtherTerm says that an entry is logged in another term than it was proposed in.
var errOtherTerm = errors.New("logged in a later term than it was proposed in")

// A position is a place in the log.
type position struct{ index, term uint64 }

// An fsm drives the Machine for raft, which calls it from one goroutine. It is a
// BatchingFSM only because raft tells no other FSM of configuration entries, and so
// does not know, on an idle cluster, that a snapshot would contain them.
type fsm struct {
	machine raftstore.Machine
	failure *failure
	moved   func(position, int64) // told the new position and the bytes it took
	hurry   <-chan struct{}       // closed when a snapshot is to be written without rests
	unread  func(error)           // told why a snapshot could not be restored

	mu sync.Mutex
	at position // the last entry applied, or passed over
}

// An outcome is what the proposer of an entry is told.
type outcome struct {
	results []any
	err     error
}

func (f *fsm) position() position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fsm) move(to position, size int64) {
	f.mu.Lock()
	f.at = to
	f.mu.Unlock()
	f.moved(to, size)
}

// Apply is part of raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch is part of raft.BatchingFSM. After a failure it applies nothing.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	outcomes := make([]any, len(logs))
	var size int64
	for i, l := range logs {
		size += int64(len(l.Data))
		if l.Type != raft.LogCommand {
			continue
		}
		if err := f.failure.get(); err != nil {
			outcomes[i] = outcome{err: err}
			continue
		}
		outcomes[i] = f.apply(l)
	}
	if f.failure.get() == nil {
		last := logs[len(logs)-1]
		f.move(position{last.Index, last.Term}, size)
	}
	return outcomes
}

func (f *fsm) apply(l *raft.Log) outcome {
	entry, err := raftstore.DecodeEntry(l.Data)
	if err != nil {
		return f.fail(l, err)
	}
	if entry.Term != l.Term {
		return outcome{err: errOtherTerm}
	}
	results, err := f.machine.Apply(l.Index, entry)
	if err != nil {
		return f.fail(l, err)
	}
	return outcome{results: results}
}

func (f *fsm) fail(l *raft.Log, err error) outcome {
	err = fmt.Errorf("apply entry %d of term %d: %w", l.Index, l.Term, err)
	f.failure.report(err)
	return outcome{err: err}
}

// Snapshot is part of raft.FSM. After a failure raft's idea of what is applied is
// ahead of the Machine, so there is none.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.failure.get(); err != nil {
		return nil, err
	}
	return frozen{f.machine.Snapshot(), f.hurry}, nil
}

// Restore is part of raft.FSM. The Machine verifies, then swaps; if it does not, raft
// goes on with what was there before.
func (f *fsm) Restore(source io.ReadCloser) error {
	if err := f.failure.get(); err != nil {
		return err
	}
	at := positionOf(source)
	if err := f.machine.Restore(newFrameReader(source)); err != nil {
		err = fmt.Errorf("restore snapshot at entry %d: %w", at.index, err)
		f.unread(err)
		return err
	}
	f.move(at, 0)
	return nil
}

// A frozen is a snapshot of the Machine on its way to the store.
type frozen struct {
	state raftstore.Snapshot
	hurry <-chan struct{}
}

// Persist is part of raft.FSMSnapshot. raft closes the sink, or cancels it on error.
func (s frozen) Persist(sink raft.SnapshotSink) error {
	w := newFrameWriter(&pacedWriter{w: sink, hurry: s.hurry, since: time.Now()})
	if err := s.state.Persist(w); err != nil {
		return fmt.Errorf("persist snapshot: %w", err)
	}
	if err := w.finish(); err != nil {
		return fmt.Errorf("persist snapshot: %w", err)
	}
	return nil
}

// Release is part of raft.FSMSnapshot.
func (frozen) Release() {}

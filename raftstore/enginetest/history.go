package enginetest

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/internal/latest"
)

// poison is the command that a history does not understand.
const poison = "poison"

var errPoison = errors.New("poisoned")

// A history is a Machine that remembers everything.
type history struct {
	length  *latest.Value[int] // of state.Commands
	entries *latest.Value[int] // state.Entries

	mu       sync.Mutex
	state    state
	restores int
}

// state is what a history replicates.
type state struct {
	Commands []string
	Index    uint64 // of the last entry
	Clock    time.Duration
	Entries  int
}

func newHistory() *history { return &history{length: latest.New(0), entries: latest.New(0)} }

// Apply is part of raftstore.Machine. The result of a command is its place, from 0.
func (h *history) Apply(index uint64, e raftstore.Entry) ([]any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if index <= h.state.Index {
		return nil, fmt.Errorf("entry %d after %d", index, h.state.Index)
	}
	for _, c := range e.Commands {
		if string(c) == poison {
			return nil, errPoison
		}
	}
	h.state.Index = index
	h.state.Clock += e.Increment
	h.state.Entries++
	results := make([]any, len(e.Commands))
	for i, c := range e.Commands {
		results[i] = len(h.state.Commands)
		h.state.Commands = append(h.state.Commands, string(c))
	}
	h.length.Set(len(h.state.Commands))
	h.entries.Set(h.state.Entries)
	return results, nil
}

// Snapshot is part of raftstore.Machine.
func (h *history) Snapshot() raftstore.Snapshot { return h.now() }

// now is the present state. Commands are only ever appended, so it can be shared.
func (h *history) now() state {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.state
	s.Commands = slices.Clip(s.Commands)
	return s
}

// Persist is part of raftstore.Snapshot.
func (s state) Persist(w io.Writer) error { return gob.NewEncoder(w).Encode(s) }

// Restore is part of raftstore.Machine.
func (h *history) Restore(r io.Reader) error {
	var s state
	if err := gob.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
	h.restores++
	h.length.Set(len(s.Commands))
	h.entries.Set(s.Entries)
	return nil
}

// restored is how often the history was restored.
func (h *history) restored() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.restores
}

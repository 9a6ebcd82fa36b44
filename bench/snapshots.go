package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coordd.dev/test/daemons"
)

const lookEvery = 2 * time.Millisecond

// A watcher sees snapshots come into a node's directory: each is a directory with the
// suffix .tmp while it is written, and is renamed when it is whole and synced.
type watcher struct{ dir string }

func watcherOf(n *daemons.Node) watcher {
	return watcher{filepath.Join(n.Data, "raft", "snapshots")}
}

// next waits until one was written from its beginning to its end, and says when that was,
// since began.
func (w watcher) next(ctx context.Context, began time.Time) (window, error) {
	var seen window
	known, writing, err := w.list()
	ours := !writing // not one that is under way already
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for last := time.Since(began); err == nil; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return seen, fmt.Errorf("await snapshot: %w", context.Cause(ctx))
		}
		var newest stored
		newest, writing, err = w.list()
		now := time.Since(began)
		switch {
		case !ours:
			ours, known = !writing, newest
		case writing && seen.begin == 0:
			seen.begin = now
		case !writing && newest != known: // or it began and ended between two looks
			seen.end = now
			if seen.begin == 0 {
				seen.begin = last
			}
			return seen, nil
		}
		last = now
	}
	return seen, err
}

// list is the newest that is whole, without its size, and whether one is being written.
func (w watcher) list() (newest stored, writing bool, err error) {
	entries, err := os.ReadDir(w.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return newest, false, fmt.Errorf("look for snapshots: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			writing = true
			continue
		}
		s := stored{name: e.Name()}
		var term uint64 // names are term-index-time
		if _, err := fmt.Sscanf(s.name, "%d-%d-", &term, &s.Index); err != nil {
			return newest, false, fmt.Errorf("read name of snapshot %q: %w", s.name, err)
		}
		if s.Index >= newest.Index {
			newest = s
		}
	}
	return newest, writing, nil
}

// A stored is a snapshot on disk.
type stored struct {
	Index uint64 `json:"index"` // of the last entry in it
	Bytes int64  `json:"bytes"`
	name  string
}

// newest is the latest snapshot, which the node would start from.
func (w watcher) newest() (stored, error) {
	s, _, err := w.list()
	if err == nil && s.name == "" {
		err = errors.New("there is none")
	}
	if err != nil {
		return s, fmt.Errorf("find newest snapshot: %w", err)
	}
	info, err := os.Stat(filepath.Join(w.dir, s.name, "state.bin"))
	if err != nil {
		return s, fmt.Errorf("find newest snapshot: %w", err)
	}
	s.Bytes = info.Size()
	return s, nil
}

package hraft

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/hashicorp/raft"
)

// stopLog reports the first error of a log store and refuses all that comes after it.
// raft would only step down, and a follower would try again (RELIABILITY 3.5).
type stopLog struct {
	raft.LogStore
	writes
}

// IsMonotonic is part of raft.MonotonicLogStore.
func (s stopLog) IsMonotonic() bool { return isMonotonic(s.LogStore) }

func isMonotonic(s raft.LogStore) bool {
	m, ok := s.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// GetLog is part of raft.LogStore. An entry that is not there is an answer; every
// other error raft meets with a panic.
func (s stopLog) GetLog(index uint64, l *raft.Log) error {
	err := s.LogStore.GetLog(index, l)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	s.failure.report(fmt.Errorf("read log entry %d: %w", index, err))
	runtime.Goexit()
	return err
}

// StoreLog is part of raft.LogStore.
func (s stopLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs is part of raft.LogStore.
func (s stopLog) StoreLogs(logs []*raft.Log) error {
	return s.do("write log", func() error { return s.LogStore.StoreLogs(logs) })
}

// DeleteRange is part of raft.LogStore.
func (s stopLog) DeleteRange(first, last uint64) error {
	return s.do("truncate log", func() error { return s.LogStore.DeleteRange(first, last) })
}

// writes is what all writes of a node share.
type writes struct {
	failure *failure
	limit   time.Duration // that a write may take
}

// do does a write unless one has failed before.
func (w writes) do(what string, write func() error) error {
	if err := w.failure.get(); err != nil {
		return err
	}
	s := watchStall(w.failure, what, w.limit)
	err := write()
	s.over()
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
		w.failure.report(err)
		return err
	}
	return w.failure.get() // it may have stalled meanwhile
}

// stopStable reports the first error of a stable store, and ends the goroutine that met
// it, here and after every failure: raft would panic, or go on as if its term or its
// vote were written. Its other goroutines stop at the shutdown that Failed causes.
type stopStable struct {
	raft.StableStore
	writes
}

// Set is part of raft.StableStore.
func (s stopStable) Set(key, value []byte) error {
	return s.orExit(s.do("write stable store", func() error {
		return s.StableStore.Set(key, value)
	}))
}

// SetUint64 is part of raft.StableStore.
func (s stopStable) SetUint64(key []byte, value uint64) error {
	return s.orExit(s.do("write stable store", func() error {
		return s.StableStore.SetUint64(key, value)
	}))
}

func (s stopStable) orExit(err error) error {
	if err != nil {
		runtime.Goexit()
	}
	return err
}

package hraft

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

var errBroken = errors.New("disk is broken")

// brokenStore fails with err, if it is set.
type brokenStore struct {
	*raft.InmemStore
	err    error
	writes int
}

func (b *brokenStore) write(f func() error) error {
	b.writes++
	if b.err != nil {
		return b.err
	}
	return f()
}

func (b *brokenStore) StoreLogs(logs []*raft.Log) error {
	return b.write(func() error { return b.InmemStore.StoreLogs(logs) })
}

func (b *brokenStore) DeleteRange(first, last uint64) error {
	return b.write(func() error { return b.InmemStore.DeleteRange(first, last) })
}

func (b *brokenStore) Set(key, value []byte) error {
	return b.write(func() error { return b.InmemStore.Set(key, value) })
}

func (b *brokenStore) SetUint64(key []byte, value uint64) error {
	return b.write(func() error { return b.InmemStore.SetUint64(key, value) })
}

func (b *brokenStore) GetLog(index uint64, l *raft.Log) error {
	if b.err != nil {
		return b.err
	}
	return b.InmemStore.GetLog(index, l)
}

// returns reports whether f comes back, or ends its goroutine.
func returns(f func()) bool {
	back := make(chan bool, 1)
	go func() {
		came := false
		defer func() { back <- came }()
		f()
		came = true
	}()
	return <-back
}

// TestStopStores: the first error of a store is reported, and nothing is written after
// it, even if it would work again.
func TestStopStores(t *testing.T) {
	for name, test := range map[string]struct {
		do    func(stopLog, stopStable)
		comes bool // the call comes back
	}{
		"StoreLog":    {func(l stopLog, _ stopStable) { _ = l.StoreLog(&raft.Log{Index: 2}) }, true},
		"DeleteRange": {func(l stopLog, _ stopStable) { _ = l.DeleteRange(1, 1) }, true},
		"GetLog":      {func(l stopLog, _ stopStable) { _ = l.GetLog(1, new(raft.Log)) }, false},
		"Set":         {func(_ stopLog, s stopStable) { _ = s.Set([]byte("k"), nil) }, false},
		"SetUint64":   {func(_ stopLog, s stopStable) { _ = s.SetUint64([]byte("k"), 1) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			store := &brokenStore{InmemStore: raft.NewInmemStore()}
			f := newFailure()
			l, s := stopLog{store, writes{f, time.Hour}}, stopStable{store, writes{f, time.Hour}}
			if err := l.StoreLog(&raft.Log{Index: 1}); err != nil || !returns(func() { test.do(l, s) }) {
				t.Fatalf("a store that works: %v", err)
			}
			if err := f.get(); err != nil {
				t.Fatalf("failed with %v", err)
			}
			store.err = errBroken
			if got := returns(func() { test.do(l, s) }); got != test.comes {
				t.Errorf("comes back: %v", got)
			}
			if err := f.get(); !errors.Is(err, errBroken) {
				t.Errorf("failed with %v", err)
			}
			<-f.failed
			store.err = nil
			writes := store.writes
			if err := l.StoreLog(&raft.Log{Index: 3}); !errors.Is(err, errBroken) {
				t.Errorf("write after a failure: %v", err)
			}
			if returns(func() { _ = s.SetUint64([]byte("k"), 2) }) {
				t.Error("a term was written after a failure")
			}
			if store.writes != writes {
				t.Error("the store was touched after a failure")
			}
		})
	}
}

// TestStopLogNotFound: an entry that is not there is no failure.
func TestStopLogNotFound(t *testing.T) {
	f := newFailure()
	err := stopLog{raft.NewInmemStore(), writes{f, time.Hour}}.GetLog(5, new(raft.Log))
	if !errors.Is(err, raft.ErrLogNotFound) || f.get() != nil {
		t.Errorf("get: %v, failure: %v", err, f.get())
	}
}

// TestStallSteps: a process that was stopped during a write finds one timer over when it
// goes on, however late it is. That is not a disk that hangs.
func TestStallSteps(t *testing.T) {
	f := newFailure()
	s := watchStall(f, "write", time.Hour)
	for range stallSteps - 1 {
		s.tick()
	}
	if err := f.get(); err != nil {
		t.Errorf("failed with %v", err)
	}
	s.tick()
	if err := f.get(); !errors.Is(err, errStalled) {
		t.Errorf("failed with %v", err)
	}
	s = watchStall(newFailure(), "write", time.Hour)
	s.over()
	for range stallSteps {
		s.tick() // that was under way
	}
	if err := s.failure.get(); err != nil {
		t.Errorf("failed after the write: %v", err)
	}
}

package hraft

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore/hraft/hrafttest"
)

// A rotten log flips a bit of one entry's data when it is read, as a disk may.
type rotten struct {
	raft.LogStore
	index uint64
}

func (r rotten) GetLog(index uint64, l *raft.Log) error {
	err := r.LogStore.GetLog(index, l)
	if index == r.index && err == nil {
		l.Data = bytes.Clone(l.Data)
		l.Data[len(l.Data)-1] ^= 1
	}
	return err
}

// Fault 11: raft-wal does not verify what it reads, nor raft what it receives. An entry
// that is not what was logged is neither applied nor sent, and one that arrives so is not
// written.
func TestFault11DamagedEntry(t *testing.T) {
	t.Run("read", func(t *testing.T) {
		store := raft.NewInmemStore()
		if err := (sealedLog{store}).StoreLogs([]*raft.Log{logOf(1, 1, commandsOf(1, "a")), logOf(2, 1, commandsOf(1, "b"))}); err != nil {
			t.Fatal(err)
		}
		damaged := rotten{store, 2}
		if err := damaged.GetLog(2, new(raft.Log)); err != nil {
			t.Errorf("the library: %v", err) // without the guard nobody knows
		}
		f := newFailure()
		guarded := stopLog{sealedLog{damaged}, writes{f, time.Hour}}
		if err := guarded.GetLog(1, new(raft.Log)); err != nil {
			t.Errorf("entry 1: %v", err)
		}
		if returns(func() { _ = guarded.GetLog(2, new(raft.Log)) }) {
			t.Error("entry 2 was handed out")
		}
		if err := f.get(); !errors.Is(err, ErrDamaged) {
			t.Errorf("failed with %v", err)
		}
	})
	flipped := func(f *follower) *raft.AppendEntriesRequest {
		r := f.request(2, 1, 2, 3, 3)
		r.Entries[1].Data = bytes.Clone(r.Entries[1].Data)
		r.Entries[1].Data[len(r.Entries[1].Data)-1] ^= 1
		return r
	}
	t.Run("arrived", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inTerm2(t, new(hrafttest.Disk), func(f *follower) {
				if a := <-f.ask(flipped(f), nil); !errors.Is(a.Error, ErrDamaged) {
					t.Errorf("answered %+v, %v", a.Response, a.Error)
				}
				if last, err := f.stores.LastIndex(); last != 1 || err != nil {
					t.Errorf("the log ends at %d, %v", last, err)
				}
				f.wantAppended(f.append(2, 3)) // the leader sends them again
				f.wantLog(2, 3)
			})
		})
	})
	t.Run("arrived, without the guard", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			unguarded(t, new(hrafttest.Disk), func(f *follower) {
				f.wantAppended(f.ask(flipped(f), nil))
				f.wantLog(2, 3)
				synctest.Wait()
				if err := f.failure.get(); err == nil {
					t.Error("the entry is whole")
				}
			})
		})
	})
}

// TestSeal: whatever of an entry differs, it is not what was logged.
func TestSeal(t *testing.T) {
	whole := raft.Log{Index: 7, Term: 3, Type: raft.LogConfiguration, Data: []byte("who")}
	whole.Extensions = sealOf(&whole)
	if err := unbroken(7, &whole); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(l *raft.Log){
		"index":      func(l *raft.Log) { l.Index++ },
		"term":       func(l *raft.Log) { l.Term ^= 1 << 60 },
		"type":       func(l *raft.Log) { l.Type = raft.LogCommand },
		"data":       func(l *raft.Log) { l.Data = []byte("wha") },
		"cut":        func(l *raft.Log) { l.Data = nil },
		"seal":       func(l *raft.Log) { l.Extensions = append(bytes.Clone(l.Extensions[:4]), 0) },
		"no seal":    func(l *raft.Log) { l.Extensions = nil },
		"newer seal": func(l *raft.Log) { l.Extensions = append([]byte{2}, l.Extensions[1:]...) },
	} {
		l := whole
		change(&l)
		if err := unbroken(l.Index, &l); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := unbroken(6, &whole); !errors.Is(err, ErrDamaged) {
		t.Errorf("another place: %v", err)
	}
	store := raft.NewInmemStore()
	broken := whole
	broken.Term++
	if err := (sealedLog{store}).StoreLogs([]*raft.Log{&broken}); !errors.Is(err, ErrDamaged) {
		t.Errorf("stored: %v", err)
	}
}

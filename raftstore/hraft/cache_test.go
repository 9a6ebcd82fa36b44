package hraft

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// countingLog counts what the cache did not have.
type countingLog struct {
	*raft.InmemStore
	reads int
}

func (c *countingLog) GetLog(index uint64, l *raft.Log) error {
	c.reads++
	return c.InmemStore.GetLog(index, l)
}

func entriesFrom(first uint64, n, size int) []*raft.Log {
	logs := make([]*raft.Log, n)
	for i := range logs {
		logs[i] = &raft.Log{Index: first + uint64(i), Term: 1, Data: make([]byte, size)}
	}
	return logs
}

func newCounting(t *testing.T, entries, budget int) (*countingLog, *cachedLog) {
	store := &countingLog{InmemStore: raft.NewInmemStore()}
	c, err := newCachedLog(store, entries, budget)
	if err != nil {
		t.Fatal(err)
	}
	return store, c
}

// TestCacheBounds: the cache keeps the newest entries, so many and so many bytes.
func TestCacheBounds(t *testing.T) {
	for _, test := range []struct {
		name            string
		entries, budget int
		size, misses    int
	}{
		{"entries", 10, 1 << 20, 100, 90},
		{"bytes", 1000, 2000, 100, 80},
		{"none", 1000, 50, 100, 99}, // the newest is kept whatever its size
	} {
		t.Run(test.name, func(t *testing.T) {
			store, c := newCounting(t, test.entries, test.budget)
			if err := c.StoreLogs(entriesFrom(1, 100, test.size)); err != nil {
				t.Fatal(err)
			}
			for i := uint64(1); i <= 100; i++ {
				var l raft.Log
				if err := c.GetLog(i, &l); err != nil || l.Index != i {
					t.Fatalf("entry %d: %+v, %v", i, l, err)
				}
			}
			if store.reads != test.misses {
				t.Errorf("%d misses, want %d", store.reads, test.misses)
			}
		})
	}
}

// TestCacheAgainstStore: through the cache a log is what it is without, whatever is
// appended, cut off its end and off its beginning.
func TestCacheAgainstStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store, model := raft.NewInmemStore(), raft.NewInmemStore()
		c, err := newCachedLog(store, rapid.IntRange(1, 8).Draw(t, "entries"), rapid.IntRange(1, 100).Draw(t, "budget"))
		if err != nil {
			t.Fatal(err)
		}
		next, term := uint64(1), uint64(1)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				logs := entriesFrom(next, rapid.IntRange(1, 5).Draw(t, "n"), rapid.IntRange(0, 40).Draw(t, "size"))
				for _, l := range logs {
					l.Term = term
				}
				if err := errors.Join(c.StoreLogs(logs), model.StoreLogs(logs)); err != nil {
					t.Fatal(err)
				}
				next += uint64(len(logs))
			},
			"cut end": func(t *rapid.T) {
				first, _ := model.FirstIndex()
				if first == 0 {
					return
				}
				from := rapid.Uint64Range(first+1, next).Draw(t, "from")
				if err := errors.Join(c.DeleteRange(from, next-1), model.DeleteRange(from, next-1)); err != nil {
					t.Fatal(err)
				}
				next, term = from, term+1
			},
			"cut beginning": func(t *rapid.T) {
				first, _ := model.FirstIndex()
				if first == 0 {
					return
				}
				to := rapid.Uint64Range(first, next-1).Draw(t, "to")
				if err := errors.Join(c.DeleteRange(first, to), model.DeleteRange(first, to)); err != nil {
					t.Fatal(err)
				}
			},
			"jump": func(t *rapid.T) { // a snapshot was installed
				if err := errors.Join(c.DeleteRange(1, next), model.DeleteRange(1, next)); err != nil {
					t.Fatal(err)
				}
				next += rapid.Uint64Range(1, 20).Draw(t, "gap")
			},
			"": func(t *rapid.T) { compareLogs(t, c, model, next) },
		})
	})
}

func compareLogs(t *rapid.T, c *cachedLog, model *raft.InmemStore, next uint64) {
	for i := uint64(1); i <= next+1; i++ {
		var got, want raft.Log
		gotErr, wantErr := c.GetLog(i, &got), model.GetLog(i, &want)
		if !errors.Is(gotErr, wantErr) || got.Index != want.Index || got.Term != want.Term || len(got.Data) != len(want.Data) {
			t.Fatalf("entry %d: %v %v, without the cache %v %v", i, got, gotErr, want, wantErr)
		}
	}
	size := 0
	for i := c.first; i < c.next; i++ {
		size += len(c.at(i).Data)
	}
	if c.size != size {
		t.Fatalf("size %d, counted %d", c.size, size)
	}
}

// TestCacheOnDisk: on raft-wal, which keeps what was deleted until its file goes, a log
// that was empty when it was opened has no entry before its first, and one that was deleted
// whole may begin anew below its old end.
func TestCacheOnDisk(t *testing.T) {
	d, err := OpenDisk(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := newCachedLog(d.LogStore, 4, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	if err := errors.Join(c.StoreLogs(entriesFrom(1, 100, 10)), c.DeleteRange(1, 50)); err != nil {
		t.Fatal(err)
	}
	if err := c.GetLog(7, &l); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("entry 7, which was deleted: %v", err)
	}
	if err := errors.Join(c.DeleteRange(51, 100), c.StoreLogs(entriesFrom(81, 40, 10))); err != nil {
		t.Fatal(err)
	}
	if err := c.GetLog(90, &l); err != nil || l.Index != 90 {
		t.Errorf("entry 90, which is there: %v, %v", l.Index, err)
	}
}

// TestCacheFailedWrite: what was not written is not in the cache.
func TestCacheFailedWrite(t *testing.T) {
	store := &brokenStore{InmemStore: raft.NewInmemStore(), err: errBroken}
	c, err := newCachedLog(store, 10, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StoreLog(&raft.Log{Index: 1}); !errors.Is(err, errBroken) {
		t.Errorf("store: %v", err)
	}
	store.err = nil
	if err := c.GetLog(1, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("get: %v", err)
	}
}

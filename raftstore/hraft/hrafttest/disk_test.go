package hrafttest_test

import (
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore/hraft/hrafttest"
)

func entry(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Data: []byte{byte(index)}}
}

// TestCrash: what was written before a crash is there after it, what is written later
// is not, and neither is a snapshot that was not closed.
func TestCrash(t *testing.T) {
	disk := new(hrafttest.Disk)
	old := disk.Open()
	open, err := old.Create(1, 1, 1, raft.Configuration{}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(old.StoreLog(entry(1)), old.Set([]byte("k"), []byte("v")), old.SetUint64([]byte("n"), 7))
	if err != nil {
		t.Fatal(err)
	}
	disk.Crash()
	late := errors.Join(old.Set([]byte("k"), []byte("late")), old.SetUint64([]byte("n"), 8))
	if late != nil {
		t.Errorf("stable store after a crash: %v", late)
	}
	for name, write := range map[string]func() error{
		"store":  func() error { return old.StoreLog(entry(2)) },
		"delete": func() error { return old.DeleteRange(1, 1) },
		"close":  func() error { return open.Close() },
		"create": func() error { _, err := old.Create(1, 2, 1, raft.Configuration{}, 0, nil); return err },
	} {
		if err := write(); err == nil {
			t.Errorf("%s after a crash succeeded", name)
		}
	}
	s := disk.Open()
	last, err := s.LastIndex()
	if last != 1 || err != nil {
		t.Errorf("last index %d, %v", last, err)
	}
	v, _ := s.Get([]byte("k"))
	n, _ := s.GetUint64([]byte("n"))
	snapshots, _ := s.List()
	if string(v) != "v" || n != 7 || len(snapshots) > 0 {
		t.Errorf("kept %q, %d and %d snapshots", v, n, len(snapshots))
	}
}

// TestLog: like raft-wal, it has no gaps, and gives and takes copies.
func TestLog(t *testing.T) {
	s := new(hrafttest.Disk).Open()
	if first, _ := s.FirstIndex(); first != 0 {
		t.Errorf("first index of nothing: %d", first)
	}
	given := entry(5)
	if err := s.StoreLogs([]*raft.Log{given, entry(6), entry(7), entry(8)}); err != nil {
		t.Fatal(err)
	}
	given.Data[0] = 99
	var got raft.Log
	if err := s.GetLog(5, &got); err != nil || got.Data[0] != 5 {
		t.Errorf("entry 5: %+v, %v", got, err)
	}
	if err := s.StoreLog(entry(10)); err == nil {
		t.Error("a gap was accepted")
	}
	if err := s.DeleteRange(6, 7); err == nil {
		t.Error("a hole was made")
	}
	if err := errors.Join(s.DeleteRange(1, 5), s.DeleteRange(8, 8)); err != nil {
		t.Error(err)
	}
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != 6 || last != 7 {
		t.Errorf("%d to %d", first, last)
	}
	for _, i := range []uint64{0, 5, 8} {
		if err := s.GetLog(i, &got); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

// TestSnapshots: the two newest are kept, the newest first.
func TestSnapshots(t *testing.T) {
	s := new(hrafttest.Disk).Open()
	for _, index := range []uint64{10, 30, 20} {
		k, err := s.Create(1, index, 1, raft.Configuration{}, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Write([]byte{byte(index)}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(k.Close(), k.Close(), k.Cancel()); err != nil {
			t.Fatal(err)
		}
	}
	metas, err := s.List()
	if err != nil || len(metas) != 2 || metas[0].Index != 30 || metas[1].Index != 20 {
		t.Fatalf("list: %v, %v", metas, err)
	}
	meta, r, err := s.Open(metas[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil || meta.Size != 1 || string(data) != "\x1e" {
		t.Errorf("%+v: %x, %v", meta, data, err)
	}
	if _, _, err := s.Open("no such"); err == nil {
		t.Error("opened nothing")
	}
}

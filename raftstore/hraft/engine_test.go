package hraft_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft"
	"coordd.dev/raftstore/hraft/hrafttest"
)

// TestConfig: all that is wrong is said at once.
func TestConfig(t *testing.T) {
	_, err := hraft.Open(hraft.Config{})
	for _, field := range []string{"LocalID", "Machine", "Transport", "LogStore", "StableStore", "SnapshotStore"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v: does not name %s", err, field)
		}
	}
	_, err = hraft.Open(hraft.Config{LocalID: "n", LeaseTimeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "LeaderLeaseTimeout") {
		t.Errorf("a lease longer than the heartbeat timeout: %v", err)
	}
}

// one returns the configuration of a node that is a cluster by itself.
func one(t *testing.T, disk *hrafttest.Disk) hraft.Config {
	stream, err := hrafttest.NewNetwork().Stream("n0:1")
	if err != nil {
		t.Fatal(err)
	}
	stores := disk.Open()
	return hraft.Config{
		LocalID:       "n0",
		Machine:       nothing{},
		Transport:     hraft.NewTransport(stream, testLogger(0)),
		LogStore:      stores,
		StableStore:   stores,
		SnapshotStore: stores,
		Bootstrap:     []raftstore.Member{{ID: "n0", Address: "n0:1", Voter: true}},
		Logger:        testLogger(0),
	}
}

// awaitState waits for a state.
func awaitState(e *hraft.Engine, want func(raftstore.State) bool) raftstore.State {
	for {
		state, changed := e.State()
		if want(state) {
			return state
		}
		<-changed
	}
}

func leads(s raftstore.State) bool { return s.Leader }

// TestClose: an engine that is closed says so, twice if need be.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := hraft.Open(one(t, new(hrafttest.Disk)))
		if err != nil {
			t.Fatal(err)
		}
		awaitState(e, leads)
		if err := errors.Join(e.Close(), e.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, _, err := e.Append(t.Context(), nil); !errors.Is(err, raftstore.ErrNotLeader) {
			t.Errorf("append: %v", err)
		}
		if state, _ := e.State(); state.Leader || state.LeaderID != "" {
			t.Errorf("state: %+v", state)
		}
		if e.Name() != "raft" || e.Err() != nil {
			t.Errorf("%s: %v", e.Name(), e.Err())
		}
	})
}

// TestBootstrapCutShort: a bootstrap that was killed between its writes is finished.
func TestBootstrapCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(hrafttest.Disk)
		if err := disk.Open().SetUint64([]byte("CurrentTerm"), 1); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing left to do
			e, err := hraft.Open(one(t, disk))
			if err != nil {
				t.Fatal(err)
			}
			awaitState(e, leads)
			if n := len(e.Members()); n != 1 {
				t.Errorf("%d members", n)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// faulty is stores that fail when they are told to.
type faulty struct {
	*hrafttest.Stores
	logs, stable atomic.Bool
}

var errDisk = errors.New("disk is broken")

func (f *faulty) StoreLogs(logs []*raft.Log) error {
	if f.logs.Load() {
		return errDisk
	}
	return f.Stores.StoreLogs(logs)
}

func (f *faulty) StoreLog(l *raft.Log) error { return f.StoreLogs([]*raft.Log{l}) }

func (f *faulty) SetUint64(key []byte, value uint64) error {
	if f.stable.Load() {
		return errDisk
	}
	return f.Stores.SetUint64(key, value)
}

// TestDiskFails: the first error of a disk stops the node: it no longer leads, it says
// why, and what was in flight is unknown, also if the disk works again.
func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := one(t, new(hrafttest.Disk))
		stores := &faulty{Stores: cfg.LogStore.(*hrafttest.Stores)}
		cfg.LogStore, cfg.StableStore = stores, stores
		e, err := hraft.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l := raftstore.NewLog(e, raftstore.Config{})
		awaitState(e, leads)
		if _, _, err := propose(t, l); err != nil {
			t.Fatalf("propose: %v", err)
		}
		stores.logs.Store(true)
		if _, _, err := propose(t, l); !errors.Is(err, raftstore.ErrUnknown) {
			t.Errorf("propose on a broken disk: %v", err)
		}
		<-e.Failed()
		if err := e.Err(); !errors.Is(err, errDisk) {
			t.Errorf("failed with %v", err)
		}
		stores.logs.Store(false)
		time.Sleep(time.Minute)
		if _, _, err := propose(t, l); !errors.Is(err, raftstore.ErrNotLeader) {
			t.Errorf("propose after the failure: %v", err)
		}
		if err := errors.Join(l.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	})
}

// propose proposes once the log leads, or has given up.
func propose(t *testing.T, l *raftstore.Log) (uint64, any, error) {
	for {
		lead, changed := l.Leadership()
		select {
		case <-l.Engine().Failed():
			return l.Propose(t.Context(), []byte("c"))
		default:
		}
		if lead.Leading {
			return l.Propose(t.Context(), []byte("c"))
		}
		<-changed
	}
}

// TestTermCannotBeWritten: raft would panic.
func TestTermCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := one(t, new(hrafttest.Disk))
		stores := &faulty{Stores: cfg.LogStore.(*hrafttest.Stores)}
		cfg.LogStore, cfg.StableStore = stores, stores
		e, err := hraft.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		stores.stable.Store(true) // before the first election
		<-e.Failed()
		if err := e.Err(); !errors.Is(err, errDisk) {
			t.Errorf("failed with %v", err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		cfg = one(t, new(hrafttest.Disk))
		stores = &faulty{Stores: cfg.LogStore.(*hrafttest.Stores)}
		stores.stable.Store(true)
		cfg.LogStore, cfg.StableStore, cfg.Bootstrap = stores, stores, nil
		if _, err := hraft.Open(cfg); !errors.Is(err, errDisk) {
			t.Errorf("open: %v", err)
		}
	})
}

// recorder is a Machine that writes how many entries it has applied, and remembers what
// it was restored to.
type recorder struct {
	nothing
	applied, restored atomic.Int64
}

func (r *recorder) Apply(index uint64, e raftstore.Entry) ([]any, error) {
	r.applied.Add(1)
	return r.nothing.Apply(index, e)
}

func (r *recorder) Snapshot() raftstore.Snapshot { return count(r.applied.Load()) }

func (r *recorder) Restore(source io.Reader) error {
	var n int64
	if err := binary.Read(source, binary.LittleEndian, &n); err != nil {
		return err
	}
	r.applied.Store(n)
	r.restored.Store(n)
	return nil
}

type count int64

func (c count) Persist(w io.Writer) error { return binary.Write(w, binary.LittleEndian, int64(c)) }

// run opens a node that is a cluster by itself and gives it to do.
func run(t *testing.T, cfg hraft.Config, do func(*hraft.Engine, *raftstore.Log)) {
	t.Helper()
	e, err := hraft.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := raftstore.NewLog(e, raftstore.Config{})
	do(e, l)
	if err := errors.Join(l.Close(), e.Close()); err != nil {
		t.Error(err)
	}
}

// TestSnapshotBySize: large entries cause a snapshot long before there are many.
func TestSnapshotBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(hrafttest.Disk)
		cfg := one(t, disk)
		cfg.Machine, cfg.SnapshotBytes, cfg.SnapshotInterval = new(recorder), 1<<20, time.Hour
		run(t, cfg, func(_ *hraft.Engine, l *raftstore.Log) {
			if _, _, err := propose(t, l); err != nil {
				t.Fatal(err)
			}
			for range 25 {
				if _, _, err := l.Propose(t.Context(), make([]byte, 100<<10)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
		})
		if snapshots, err := disk.Open().List(); err != nil || len(snapshots) != 2 {
			t.Errorf("%d snapshots, %v", len(snapshots), err)
		}
	})
}

// spoiled spoils the newest snapshot.
type spoiled struct{ *hrafttest.Stores }

func (s spoiled) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.Stores.Open(id)
	if metas, _ := s.List(); err == nil && id == metas[0].ID {
		data, _ := io.ReadAll(r)
		data[len(data)/2] ^= 1
		r = io.NopCloser(bytes.NewReader(data))
	}
	return meta, r, err
}

// TestDamagedSnapshot: a node whose newest snapshot is not what was written does not
// start, even if there is an older one; nor does one whose log has a gap.
func TestDamagedSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(hrafttest.Disk)
		cfg := one(t, disk)
		cfg.Machine, cfg.TrailingEntries = new(recorder), 1000
		run(t, cfg, func(e *hraft.Engine, l *raftstore.Log) {
			for range 20 {
				if _, _, err := propose(t, l); err != nil {
					t.Fatal(err)
				}
				if err := e.Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
		damaged := one(t, disk)
		damaged.Machine = new(recorder)
		damaged.SnapshotStore = spoiled{damaged.SnapshotStore.(*hrafttest.Stores)}
		if _, err := hraft.Open(damaged); !errors.Is(err, hraft.ErrDamaged) {
			t.Errorf("open with a damaged snapshot: %v", err)
		}
		gap := one(t, disk)
		gap.Machine = new(recorder)
		gap.SnapshotStore = new(hrafttest.Disk).Open()
		if err := gap.LogStore.DeleteRange(1, 10); err != nil {
			t.Fatal(err)
		}
		if _, err := hraft.Open(gap); err == nil || !strings.Contains(err.Error(), "log not found") {
			t.Errorf("open with a gap: %v", err)
		}
		whole, machine := one(t, disk), new(recorder)
		whole.Machine = machine
		run(t, whole, func(_ *hraft.Engine, l *raftstore.Log) {
			if _, _, err := propose(t, l); err != nil {
				t.Fatal(err)
			}
		})
		if machine.restored.Load() != 21 || machine.applied.Load() != 23 {
			t.Errorf("restored to %d, applied %d", machine.restored.Load(), machine.applied.Load())
		}
	})
}

// TestOpenDisk: a directory has one user at a time, and is nobody else's business.
func TestOpenDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	d, err := hraft.OpenDisk(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := hraft.OpenDisk(dir, nil); err == nil {
		t.Errorf("opened twice; close: %v", second.Close())
	}
	if err := d.StableStore.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		t.Fatal(err)
	}
	if err := hraft.Sealed(d.LogStore).StoreLog(&raft.Log{Index: 1, Term: 1, Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	sink, err := d.SnapshotStore.Create(1, 1, 1, raft.Configuration{}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s: mode %o", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if d, err = hraft.OpenDisk(dir, nil); err != nil {
			t.Fatal(err)
		}
		var l raft.Log
		if err := d.LogStore.GetLog(1, &l); err != nil || string(l.Data) != "x" {
			t.Errorf("entry 1: %+v, %v", l, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := hraft.OpenDisk(filepath.Join(dir, "lock"), nil); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file as directory: %v", err)
	}
}

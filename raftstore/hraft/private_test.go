package hraft

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// createSink begins a snapshot in a disk of its own.
func createSink(t *testing.T) (*Disk, *steadySink) {
	t.Helper()
	disk, err := OpenDisk(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	_, transport := raft.NewInmemTransport("")
	sink, err := disk.SnapshotStore.Create(raft.SnapshotVersionMax, 7, 3, raft.Configuration{}, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	steady, ok := sink.(*steadySink)
	if !ok {
		t.Fatalf("the sink is a %T", sink)
	}
	return disk, steady
}

// A snapshot that was synced on its way is what was written.
func TestSteadySink(t *testing.T) {
	disk, sink := createSink(t)
	want := make([]byte, 5*steadyBytes/2)
	_, _ = rand.Read(want) // it never fails
	if _, err := io.CopyBuffer(struct{ io.Writer }{sink}, struct{ io.Reader }{bytes.NewReader(want)}, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // as raft's may
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, source, err := disk.SnapshotStore.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if got, err := io.ReadAll(source); err != nil || !bytes.Equal(got, want) {
		t.Errorf("it has %d bytes, %v", len(got), err)
	}
}

// Every steadyBytes there is a sync, whose failure is the snapshot's.
func TestSteadySinkSyncs(t *testing.T) {
	_, sink := createSink(t)
	if err := sink.file.Close(); err != nil {
		t.Fatal(err)
	}
	half := make([]byte, steadyBytes/2)
	for i := range 4 {
		if _, err := sink.Write(half); (err != nil) != (i%2 == 1) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if err := sink.Cancel(); err != nil {
		t.Error(err)
	}
	if err := sink.Cancel(); err != nil {
		t.Error(err)
	}
}

// unable is a sink of raft that fails to end, as on a full disk.
type unable struct{ raft.SnapshotSink }

var errFull = errors.New("no space left on device")

func (unable) Close() error  { return errFull }
func (unable) Cancel() error { return errFull }

// What cannot be finished takes no room.
func TestFailedSinkIsRemoved(t *testing.T) {
	for name, end := range map[string]func(*steadySink) error{
		"close": (*steadySink).Close, "cancel": (*steadySink).Cancel,
	} {
		t.Run(name, func(t *testing.T) {
			_, sink := createSink(t)
			sink.SnapshotSink = unable{sink.SnapshotSink}
			if err := end(sink); !errors.Is(err, errFull) {
				t.Error(err)
			}
			if _, err := os.Stat(sink.dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is there still: %v", err)
			}
		})
	}
}

// What a killed process left is gone at the next start, and what it finished is not.
func TestOpenDiskRemovesUnfinishedSnapshots(t *testing.T) {
	dir := t.TempDir()
	disk, err := OpenDisk(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, transport := raft.NewInmemTransport("")
	for index := range uint64(2) {
		sink, err := disk.SnapshotStore.Create(raft.SnapshotVersionMax, 1+index, 3, raft.Configuration{}, 1, transport)
		if err != nil {
			t.Fatal(err)
		}
		if index == 0 {
			err = sink.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	if disk, err = OpenDisk(dir, nil); err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	left, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil || len(left) != 1 || strings.HasSuffix(left[0].Name(), unfinished) {
		t.Errorf("there are %v, %v", left, err)
	}
}

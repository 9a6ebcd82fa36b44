package hraft

import (
	"bytes"
	"crypto/rand"
	"io"
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

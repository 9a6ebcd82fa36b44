package raftstore_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"coordd.dev/raftstore"
)

// entries are examples of all shapes.
func entries() []raftstore.Entry {
	return []raftstore.Entry{
		{},
		{Term: 1},
		{Term: math.MaxUint64, Increment: math.MaxInt64},
		{Term: 7, Increment: time.Second, Commands: [][]byte{[]byte("a"), {}, []byte("bc")}},
		{Term: 300, Commands: [][]byte{bytes.Repeat([]byte("x"), 1000)}},
	}
}

func TestEntryRoundTrip(t *testing.T) {
	for _, want := range entries() {
		b := raftstore.AppendEntry([]byte("before"), want)
		got, err := raftstore.DecodeEntry(b[len("before"):])
		if err != nil {
			t.Errorf("%+v: %v", want, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("entry (-want +got):\n%s", diff)
		}
	}
}

// TestEntryDamaged: no flipped bit, missing byte or byte too many goes unseen.
func TestEntryDamaged(t *testing.T) {
	for _, e := range entries() {
		whole := raftstore.AppendEntry(nil, e)
		for i := range min(len(whole), 100) * 8 {
			b := bytes.Clone(whole)
			b[i/8] ^= 1 << (i % 8)
			_, err := raftstore.DecodeEntry(b)
			want := raftstore.ErrEntryDamaged
			if i < 8 {
				want = raftstore.ErrEntryVersion
			}
			if !errors.Is(err, want) {
				t.Fatalf("bit %d of %x: %v", i, whole, err)
			}
		}
		for n := range min(len(whole), 100) {
			if _, err := raftstore.DecodeEntry(whole[:n]); !errors.Is(err, raftstore.ErrEntryDamaged) {
				t.Fatalf("%d bytes of %x: %v", n, whole, err)
			}
		}
		if _, err := raftstore.DecodeEntry(append(whole, 0)); !errors.Is(err, raftstore.ErrEntryDamaged) {
			t.Fatalf("a byte after %x: %v", whole, err)
		}
	}
}

// TestEntryGolden: entries of this version stay readable.
func TestEntryGolden(t *testing.T) {
	want := raftstore.Entry{Term: 5, Increment: 1500 * time.Millisecond, Commands: [][]byte{[]byte("lock"), []byte("unlock")}}
	b, err := os.ReadFile(filepath.Join("testdata", "entry.v1"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := raftstore.DecodeEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	if !bytes.Equal(raftstore.AppendEntry(nil, want), b) {
		t.Error("the encoding has changed: give it a new version")
	}
}

// FuzzEntry: whatever is decoded encodes to something that decodes to the same.
func FuzzEntry(f *testing.F) {
	for _, e := range entries() {
		f.Add(raftstore.AppendEntry(nil, e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, sealed(b)} {
			e, err := raftstore.DecodeEntry(in)
			if err != nil {
				if !errors.Is(err, raftstore.ErrEntryDamaged) && !errors.Is(err, raftstore.ErrEntryVersion) {
					t.Errorf("decode: %v", err)
				}
				continue
			}
			again, err := raftstore.DecodeEntry(raftstore.AppendEntry(nil, e))
			if err != nil {
				t.Fatalf("decode again: %v", err)
			}
			if diff := cmp.Diff(e, again, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
		}
	})
}

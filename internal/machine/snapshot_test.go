package machine_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cespare/xxhash/v2"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

func written(t testing.TB, m *machine.Machine) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := m.Snapshot().WriteTo(&b)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Fatalf("WriteTo says %d bytes, it wrote %d", n, b.Len())
	}
	return b.Bytes()
}

// A snapshot of the first format, without revisions and requests, stays readable.
func TestGoldenFirstSnapshot(t *testing.T) {
	golden, err := os.ReadFile("testdata/golden/snapshot-1")
	if err != nil {
		t.Fatal(err)
	}
	old, err := machine.Restore(bytes.NewReader(golden))
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Check(); err != nil {
		t.Fatal(err)
	}
	if now := populated(); old.Counts() != now.Counts() || old.Revision() != 0 {
		t.Errorf("it has %+v and revision %d, what it is of %+v", old.Counts(), old.Revision(), now.Counts())
	}
	restored(t, old)
}

// readable restores a golden snapshot, which is to be of m, however that is written today.
func readable(t *testing.T, name string, m *machine.Machine) (old *machine.Machine, text []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/golden", name))
	if err != nil {
		t.Fatal(err)
	}
	if old, err = machine.Restore(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Check(), old.Check()); err != nil {
		t.Fatal(err)
	}
	if old.Hash() != m.Hash() || old.Revision() != m.Revision() {
		t.Errorf("the golden snapshot has the hash %#x and revision %d, what it is of %#x and %d",
			old.Hash(), old.Revision(), m.Hash(), m.Revision())
	}
	if !bytes.Equal(written(t, old), written(t, m)) {
		t.Error("what the golden snapshot is of is written otherwise")
	}
	return old, text
}

// golden is readable of a snapshot of the present format, which -update writes anew.
func golden(t *testing.T, name string, m *machine.Machine) (old *machine.Machine, text []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata/golden", name), written(t, m), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, text = readable(t, name, m)
	if !bytes.Equal(written(t, old), text) {
		t.Error("the golden snapshot is written otherwise")
	}
	return old, text
}

// A snapshot of the second format stays readable, and its hash the same.
func TestGoldenSnapshot(t *testing.T) { readable(t, "snapshot-2", populated()) }

// The same of a machine with what the first format had not.
func TestGoldenRequests(t *testing.T) {
	readable(t, "snapshot-2-requests", furnished(session.KeptRequests+2))
}

// A snapshot is written by one goroutine while another goes on applying entries, and is
// of the moment at which it was taken. The race detector watches.
func TestSnapshotWhileApplying(t *testing.T) {
	r := newRig(t)
	s := r.open(4, minute)
	for n := range 2000 {
		r.frame(s+park.SessionID(n%4), lockOp(fmt.Sprint("x", n/2)), permitsOp("s", 1, 10_000))
	}
	for range 5 {
		snapshot, hash := r.machine.Snapshot(), r.machine.Hash()
		done := make(chan []byte)
		go func() {
			var b bytes.Buffer
			if _, err := snapshot.WriteTo(&b); err != nil {
				t.Error(err)
			}
			done <- b.Bytes()
		}()
		for n := range 300 {
			id := s + park.SessionID(n%4)
			r.frame(id, endOp(park.Seq(1+n)), lockOp(fmt.Sprint("y", n)), permitsOp("s", 1, 0))
		}
		r.check()
		again, err := machine.Restore(bytes.NewReader(<-done))
		if err != nil {
			t.Fatal(err)
		}
		if again.Hash() != hash || snapshot.Hash() != hash {
			t.Fatalf("hash %#x when taken, %#x written, %#x now", hash, again.Hash(), snapshot.Hash())
		}
	}
}

// sealed is a snapshot with the checksum of its bytes, whatever they are.
func sealed(body []byte) []byte {
	return binary.LittleEndian.AppendUint64(bytes.Clone(body), xxhash.Sum64(body))
}

// Every damaged byte is found: by the checksum; and where the checksum is made to fit,
// by the encoding or by the state hash.
func TestDamagedSnapshot(t *testing.T) {
	testDamage(t, written(t, furnished(2)))
}

func testDamage(t *testing.T, good []byte) {
	body := good[:len(good)-8]
	if !bytes.Equal(sealed(body), good) {
		t.Fatal("the last eight bytes are not the checksum")
	}
	refused := func(what string, at int, b []byte) {
		t.Helper()
		if _, err := machine.Restore(bytes.NewReader(b)); !errors.Is(err, machine.ErrSnapshot) {
			t.Errorf("%s at %d: error is %v", what, at, err)
		}
	}
	for i := range good {
		refused("cut", i, good[:i])
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			refused("a flipped bit", i, bad)
			if i < len(body) {
				refused("a flipped bit, sealed", i, sealed(bad[:len(body)]))
			}
		}
		if i < len(body) {
			refused("cut, sealed", i, sealed(body[:i]))
			refused("a byte gone, sealed", i, sealed(append(bytes.Clone(body[:i]), body[i+1:]...)))
			refused("a byte twice, sealed", i, sealed(append(bytes.Clone(body[:i+1]), body[i:]...)))
		}
	}
}

// A length that no snapshot has is refused before memory is asked for.
func TestHugeChunk(t *testing.T) {
	head := []byte("coordd snapshot 2\n")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := machine.Restore(bytes.NewReader(sealed(binary.AppendUvarint(head, 1<<62))))
	runtime.ReadMemStats(&after)
	if !errors.Is(err, machine.ErrSnapshot) {
		t.Errorf("error is %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// A writer that fails is reported, wherever it fails.
func TestSnapshotWriteError(t *testing.T) {
	s := furnished(2).Snapshot()
	size := len(written(t, furnished(2)))
	for room := range size {
		if n, err := s.WriteTo(&full{room}); !errors.Is(err, errFull) || n > int64(room) {
			t.Fatalf("with room for %d of %d bytes: %d written, error %v", room, size, n, err)
		}
	}
}

var errFull = errors.New("full")

type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.room)
	f.room -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

// Whatever comes as a snapshot is refused or restored, without a panic. The checksum is
// made to fit, so that the rest is reached.
func FuzzRestore(f *testing.F) {
	good := written(f, furnished(2))
	old, err := os.ReadFile("testdata/golden/snapshot-1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old[:len(old)-8])
	empty := written(f, machine.New())
	f.Add(good[:len(good)-8])
	tangled := written(f, entangled())
	f.Add(tangled[:len(tangled)-8])
	latches := written(f, latched())
	f.Add(latches[:len(latches)-8])
	channels := written(f, channelled())
	f.Add(channels[:len(channels)-8])
	f.Add(empty[:len(empty)-8])
	halfway := written(f, staged())
	f.Add(halfway[:len(halfway)-8])
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := machine.Restore(bytes.NewReader(sealed(body)))
		if err != nil {
			if !errors.Is(err, machine.ErrSnapshot) {
				t.Fatalf("error %v is not ErrSnapshot", err)
			}
			return
		}
		again := written(t, m)
		if bytes.HasPrefix(body, []byte("coordd snapshot 1\n")) {
			if m, err = machine.Restore(bytes.NewReader(again)); err != nil {
				t.Fatalf("%x restores, and what is written then does not: %v", body, err)
			}
			body, again = again[:len(again)-8], written(t, m)
		}
		if !bytes.Equal(again, sealed(body)) {
			t.Fatalf("%x restores and is written as %x", body, again)
		}
	})
}

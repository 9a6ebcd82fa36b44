package backup_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"coordd.dev/internal/backup"
)

var update = flag.Bool("update", false, "write the golden file anew")

func header() backup.Header {
	return backup.Header{
		Version: "0.9", Cluster: "4f2c", Index: 1 << 60, Term: 7, Clock: 12345, Taken: 1_790_000_000_000,
		Token: 1 << 62, Sessions: 3, Longest: 10e9, StateHash: "00c0ffee",
	}
}

func written(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, header())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, iotest.HalfReader(bytes.NewReader(content))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	return b
}

// What is written is read again, however long it is and however it comes.
func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, backup.MaxFrame - 1, backup.MaxFrame, backup.MaxFrame + 1, 3*backup.MaxFrame + 10} {
		file := written(t, content(n))
		for name, from := range map[string]io.Reader{
			"all at once": bytes.NewReader(file), "byte by byte": iotest.OneByteReader(bytes.NewReader(file)),
			"with its end": iotest.DataErrReader(bytes.NewReader(file)),
		} {
			r, err := backup.NewReader(from)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, content(n)) || r.Header() != header() {
				t.Errorf("%d bytes, %s: %d are read of %+v, error %v", n, name, len(got), r.Header(), err)
			}
			if r.Size() != int64(len(file)) {
				t.Errorf("%d bytes: the file has %d, says %d", n, len(file), r.Size())
			}
		}
	}
}

// A file of this format stays readable.
func TestGolden(t *testing.T) {
	const path = "testdata/backup-1"
	if *update {
		if err := os.WriteFile(path, written(t, content(1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := backup.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || r.Header() != header() || !bytes.Equal(got, content(1000)) {
		t.Errorf("%d bytes of %+v, error %v", len(got), r.Header(), err)
	}
	if !bytes.Equal(file, written(t, content(1000))) {
		t.Error("it is written otherwise")
	}
}

// Every cut, every flipped bit and everything that is added is found, and nothing of a
// damaged frame is returned.
func TestDamage(t *testing.T) {
	all := content(300)
	file := written(t, all)
	refused := func(what string, at int, b []byte) {
		t.Helper()
		r, err := backup.NewReader(bytes.NewReader(b))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
		}
		if !errors.Is(err, backup.ErrDamaged) || !bytes.HasPrefix(all, got) {
			t.Errorf("%s at %d: error %v, %d bytes", what, at, err, len(got))
		}
		if _, _, again := backup.Inspect(bytes.NewReader(b)); !errors.Is(again, backup.ErrDamaged) || again.Error() != err.Error() {
			t.Errorf("%s at %d: Inspect says %v, a Reader %v", what, at, again, err)
		}
	}
	for i := range file {
		refused("cut", i, file[:i])
		for bit := range 8 {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << bit
			refused("a flipped bit", i, bad)
		}
	}
	refused("more", len(file), append(bytes.Clone(file), 0))
	refused("twice", len(file), append(bytes.Clone(file), file...))
}

// The faults are told apart.
func TestDamageSays(t *testing.T) {
	file := written(t, content(300))
	flipped := bytes.Clone(file)
	flipped[len(flipped)-100] ^= 1
	sum := bytes.Clone(file)
	sum[len(sum)-1] ^= 1
	long := bytes.Clone(file)
	long[18] = 0xff
	for want, b := range map[string][]byte{
		"cut short after 100 bytes": file[:100],
		"does not begin as":         []byte("coordsn1 and so on"),
		"another checksum":          flipped,
		"its SHA-256":               sum,
		"follows its end":           append(bytes.Clone(file), '\n'),
		"a frame of":                long,
	} {
		if _, _, err := backup.Inspect(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
}

// An error of the disk or of the network is not the file's.
func TestOtherErrors(t *testing.T) {
	file := written(t, content(300))
	broken := errors.New("broken")
	for n := range file {
		_, _, err := backup.Inspect(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("broken after %d bytes: %v", n, err)
		}
	}
	for n := range file {
		w, err := backup.NewWriter(&full{n}, header())
		if err == nil {
			_, err = w.Write(content(300))
		}
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, errFull) {
			t.Fatalf("full after %d bytes: %v", n, err)
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

// Whatever comes is read or refused.
func FuzzRead(f *testing.F) {
	f.Add(written(f, content(100)))
	f.Add(written(f, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := backup.NewReader(bytes.NewReader(b))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil && !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("error %v is not ErrDamaged", err)
		}
		if err == nil && r.Size() != int64(len(b)) {
			t.Fatalf("%d of %d bytes are read", r.Size(), len(b))
		}
	})
}

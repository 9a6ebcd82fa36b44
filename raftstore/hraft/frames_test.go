package hraft

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func framed(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := newFrameWriter(&b)
	for chunk := content; len(chunk) > 0; { // in pieces of odd sizes
		n := min(len(chunk), 1+len(chunk)/3)
		if m, err := w.Write(chunk[:n]); m != n || err != nil {
			t.Fatalf("write: %d, %v", m, err)
		}
		chunk = chunk[n:]
	}
	if err := w.finish(); err != nil {
		t.Fatalf("finish: %v", err)
	}
	return b.Bytes()
}

func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, frameSize - 1, frameSize, frameSize + 1, 5*frameSize + 7} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(i * i >> 3)
		}
		stored := framed(t, content)
		got, err := io.ReadAll(newFrameReader(iotest.HalfReader(bytes.NewReader(stored))))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

// TestFramesDamaged: whatever is wrong is seen before a wrong byte is returned.
func TestFramesDamaged(t *testing.T) {
	content := bytes.Repeat([]byte("state "), 2*frameSize/6)
	whole := framed(t, content)
	check := func(what string, i int, stored []byte) {
		t.Helper()
		got, err := io.ReadAll(newFrameReader(bytes.NewReader(stored)))
		if !errors.Is(err, errSnapshotDamaged) && !errors.Is(err, errSnapshotVersion) || !bytes.HasPrefix(content, got) {
			t.Fatalf("%s %d: %d bytes, %v", what, i, len(got), err)
		}
	}
	step := max(1, len(whole)/200)
	for i := 0; i < len(whole); i += step {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		check("flip", i, b)
		check("cut", i, whole[:i])
	}
	frame := frameHeader + frameSize
	first, second := whole[8:8+frame], whole[8+frame:8+2*frame]
	check("swapped", 0, bytes.Join([][]byte{whole[:8], second, first, whole[8+2*frame:]}, nil))
	check("lost", 0, bytes.Join([][]byte{whole[:8], second, whole[8+2*frame:]}, nil))
}

// TestFramesWriter: the error of the store comes back.
func TestFramesWriter(t *testing.T) {
	full := errors.New("no space")
	w := newFrameWriter(writerFunc(func([]byte) (int, error) { return 0, full }))
	if _, err := w.Write(make([]byte, 2*frameSize)); !errors.Is(err, full) {
		t.Errorf("write: %v", err)
	}
	if err := w.finish(); !errors.Is(err, full) {
		t.Errorf("finish: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func FuzzFrames(f *testing.F) {
	f.Add([]byte(frameMagic))
	f.Add([]byte("coordsn1\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if _, err := io.ReadAll(newFrameReader(bytes.NewReader(stored))); err != nil && !errors.Is(err, errSnapshotDamaged) && !errors.Is(err, errSnapshotVersion) {
			t.Errorf("read: %v", err)
		}
	})
}

package hraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A snapshot is stored and sent as frames:
//
//	magic    8 bytes
//	frame    uint32 length > 0, uint32 checksum, bytes
//	...
//	end      uint32 0, uint32 checksum
//
// All little endian; a checksum is the CRC-32C of all content up to and including its
// frame, so that frames cannot be lost, swapped or repeated unseen. The store checks a
// file as a whole before it opens it, but not what a leader read and sent.
const (
	frameMagic  = "coordsn1"
	frameHeader = 8
	frameSize   = 64 << 10
	frameMax    = 1 << 20 // accepted
)

var (
	errSnapshotDamaged = fmt.Errorf("snapshot: %w", ErrDamaged)
	errSnapshotVersion = errors.New("not a snapshot of this version")
)

// A frameWriter writes frames. finish must be called at the end.
type frameWriter struct {
	w   io.Writer
	buf []byte // header and content of the frame being filled
	sum uint32 // of all frames written
	err error
}

func newFrameWriter(w io.Writer) *frameWriter {
	f := &frameWriter{w: w, buf: make([]byte, frameHeader, frameHeader+frameSize)}
	_, f.err = io.WriteString(w, frameMagic)
	return f
}

func (f *frameWriter) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 && f.err == nil {
		room := min(len(p), cap(f.buf)-len(f.buf))
		f.buf = append(f.buf, p[:room]...)
		p, n = p[room:], n+room
		if len(f.buf) == cap(f.buf) {
			f.flush()
		}
	}
	return n, f.err
}

// flush writes a frame, which is the end if it is empty.
func (f *frameWriter) flush() {
	content := f.buf[frameHeader:]
	f.sum = crc32.Update(f.sum, crc32.MakeTable(crc32.Castagnoli), content)
	binary.LittleEndian.PutUint32(f.buf, uint32(len(content)))
	binary.LittleEndian.PutUint32(f.buf[4:], f.sum)
	_, f.err = f.w.Write(f.buf)
	f.buf = f.buf[:frameHeader]
}

func (f *frameWriter) finish() error {
	if f.err == nil && len(f.buf) > frameHeader {
		f.flush()
	}
	if f.err == nil {
		f.flush()
	}
	return f.err
}

// A frameReader returns only content that has passed its checksum, and io.EOF only
// after the end.
type frameReader struct {
	r     io.Reader
	begun bool
	frame []byte // of which nothing, or a part, is not yet read
	buf   []byte
	sum   uint32
	err   error
}

func newFrameReader(r io.Reader) *frameReader { return &frameReader{r: r} }

func (f *frameReader) Read(p []byte) (int, error) {
	for len(f.frame) == 0 && f.err == nil {
		f.err = f.fill()
	}
	if len(f.frame) == 0 {
		return 0, f.err
	}
	n := copy(p, f.frame)
	f.frame = f.frame[n:]
	return n, nil
}

// fill reads a frame, or returns io.EOF at the end.
func (f *frameReader) fill() error {
	var header [frameHeader]byte
	if !f.begun {
		if err := f.full(header[:]); err != nil {
			return err
		}
		if string(header[:]) != frameMagic {
			return errSnapshotVersion
		}
		f.begun = true
	}
	if err := f.full(header[:]); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(header[:])
	if size > frameMax {
		return fmt.Errorf("%w: frame of %d bytes", errSnapshotDamaged, size)
	}
	if int(size) > cap(f.buf) {
		f.buf = make([]byte, max(int(size), frameSize))
	}
	content := f.buf[:size]
	if err := f.full(content); err != nil {
		return err
	}
	f.sum = crc32.Update(f.sum, crc32.MakeTable(crc32.Castagnoli), content)
	if f.sum != binary.LittleEndian.Uint32(header[4:]) {
		return fmt.Errorf("%w: checksum differs", errSnapshotDamaged)
	}
	if size == 0 {
		return io.EOF
	}
	f.frame = content
	return nil
}

// full fills b: a snapshot that stops before its end is damaged.
func (f *frameReader) full(b []byte) error {
	_, err := io.ReadFull(f.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short", errSnapshotDamaged)
	}
	return err
}

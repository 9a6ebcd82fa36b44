package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// ErrDamaged says that a file is no backup, or not as it was written.
var ErrDamaged = errors.New("damaged backup")

// A Reader reads the snapshot of a backup.
type Reader struct {
	header Header
	r      io.Reader
	buf    []byte // for a frame
	frame  []byte // of which nothing, or a part, is not yet read
	crc    uint32 // of what all frames contain
	sum    hash.Hash
	read   int64 // bytes of the file
	err    error
}

// NewReader reads up to the snapshot.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{r: r, sum: sha256.New(), buf: make([]byte, MaxFrame)}
	var first [len(magic)]byte
	switch n, err := io.ReadFull(r, first[:]); {
	case err != nil && !ended(err):
		return nil, fmt.Errorf("read backup: %w", err)
	case string(first[:n]) != magic[:n] || n == 0:
		return nil, fmt.Errorf("%w: it does not begin as a backup of this version does", ErrDamaged)
	case err != nil:
		return nil, cutShort(int64(n))
	}
	in.take(first[:])
	text, err := in.next()
	if errors.Is(err, io.EOF) || err == nil && !in.header.decode(text) {
		err = fmt.Errorf("%w: it has no header", ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (h *Header) decode(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields() // or it would be less than the one who wrote it thought
	return d.Decode(h) == nil
}

// Header says what the backup is of.
func (r *Reader) Header() Header { return r.header }

// Size is how much of the file has been read.
func (r *Reader) Size() int64 { return r.read }

// Read reads the snapshot.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.frame) == 0 && r.err == nil {
		r.frame, r.err = r.next()
	}
	if len(r.frame) == 0 {
		return 0, r.err
	}
	n := copy(p, r.frame)
	r.frame = r.frame[n:]
	return n, nil
}

// next returns the content of a frame, which is good until the next; io.EOF at the end.
func (r *Reader) next() ([]byte, error) {
	at := r.read
	var head [frameHead]byte
	if err := r.full(head[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > MaxFrame {
		return nil, fmt.Errorf("%w: a frame of %d bytes at byte %d", ErrDamaged, size, at)
	}
	content := r.buf[:size]
	if err := r.full(content); err != nil {
		return nil, err
	}
	r.crc = crc32.Update(r.crc, crc32.MakeTable(crc32.Castagnoli), content)
	if r.crc != binary.LittleEndian.Uint32(head[4:]) {
		return nil, fmt.Errorf("%w: the frame at byte %d has another checksum", ErrDamaged, at)
	}
	if size > 0 {
		return content, nil
	}
	return nil, r.end()
}

// end verifies the checksum over all; io.EOF says that it is right.
func (r *Reader) end() error {
	want := r.sum.Sum(nil)
	var got [sha256.Size]byte
	if err := r.full(got[:]); err != nil {
		return err
	}
	if !bytes.Equal(got[:], want) {
		return fmt.Errorf("%w: its SHA-256 is %x, should be %x", ErrDamaged, want, got)
	}
	var more [1]byte
	switch n, err := io.ReadFull(r.r, more[:]); {
	case n > 0:
		return fmt.Errorf("%w: something follows its end at byte %d", ErrDamaged, r.read)
	case err != nil && !ended(err):
		return fmt.Errorf("read backup: %w", err)
	}
	return io.EOF
}

// full fills b: a file that stops before its end is damaged.
func (r *Reader) full(b []byte) error {
	n, err := io.ReadFull(r.r, b)
	switch {
	case err == nil:
	case ended(err):
		return cutShort(r.read + int64(n))
	default:
		return fmt.Errorf("read backup: %w", err)
	}
	r.take(b)
	return nil
}

func (r *Reader) take(b []byte) {
	_, _ = r.sum.Write(b) // never fails
	r.read += int64(len(b))
}

// ended reports whether there was nothing more to read.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func cutShort(at int64) error {
	return fmt.Errorf("%w: it is cut short after %d bytes", ErrDamaged, at)
}

// Inspect reads a file to its end and verifies all of it. The header is good as soon as it
// has been read, whatever follows; size is how much is as it was written.
func Inspect(r io.Reader) (h Header, size int64, err error) {
	in, err := NewReader(r)
	if err != nil {
		return Header{}, 0, err
	}
	_, err = io.Copy(io.Discard, in)
	return in.header, in.read, err
}

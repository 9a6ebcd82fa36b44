package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// MaxFrame bounds the content of a frame; a Writer's are of that size, but the last.
const MaxFrame = 64 << 10

const (
	magic     = "coordd backup 1\n"
	frameHead = 8
)

// A Header says what a backup is of. It is for people, and for what must be known before
// the snapshot is read; numbers that tools may round are strings in JSON.
type Header struct {
	Version   string `json:"coordd_version"`
	Cluster   string `json:"cluster_id"`
	Index     uint64 `json:"log_index,string"`
	Term      uint64 `json:"term,string"`
	Clock     int64  `json:"cluster_clock_ns,string"`
	Taken     int64  `json:"taken_unix_ms"`
	Token     uint64 `json:"greatest_token,string"`
	Sessions  int64  `json:"sessions"`
	Longest   int64  `json:"longest_lease_ns,string"` // with the lock-delays behind it
	StateHash string `json:"state_hash"`
}

// A Writer writes a backup. Close must be called at the end.
type Writer struct {
	w     io.Writer
	frame []byte // header and content of the one being filled
	crc   uint32 // of what all frames contain
	sum   hash.Hash
	err   error
}

// NewWriter begins a backup.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	out := &Writer{w: w, sum: sha256.New(), frame: make([]byte, frameHead, frameHead+MaxFrame)}
	text, err := json.Marshal(h)
	if err == nil && len(text) > MaxFrame {
		err = fmt.Errorf("%d bytes, more than %d", len(text), MaxFrame)
	}
	if err != nil {
		return nil, fmt.Errorf("write backup: header: %w", err)
	}
	out.emit([]byte(magic))
	out.frame = append(out.frame, text...)
	out.flush()
	return out, out.err
}

// Write adds to the snapshot.
func (w *Writer) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 && w.err == nil {
		room := min(len(p), cap(w.frame)-len(w.frame))
		w.frame = append(w.frame, p[:room]...)
		p, n = p[room:], n+room
		if len(w.frame) == cap(w.frame) {
			w.flush()
		}
	}
	return n, w.err
}

// Close writes the end. It does not close what is written to.
func (w *Writer) Close() error {
	if len(w.frame) > frameHead {
		w.flush()
	}
	w.flush() // the end
	w.emit(w.sum.Sum(nil))
	return w.err
}

// flush writes a frame, which is the end if it is empty.
func (w *Writer) flush() {
	content := w.frame[frameHead:]
	w.crc = crc32.Update(w.crc, crc32.MakeTable(crc32.Castagnoli), content)
	binary.LittleEndian.PutUint32(w.frame, uint32(len(content))) //nolint:gosec // at most MaxFrame
	binary.LittleEndian.PutUint32(w.frame[4:], w.crc)
	w.emit(w.frame)
	w.frame = w.frame[:frameHead]
}

func (w *Writer) emit(b []byte) {
	if w.err != nil {
		return
	}
	if _, err := w.w.Write(b); err != nil {
		w.err = fmt.Errorf("write backup: %w", err)
	}
	_, _ = w.sum.Write(b) // never fails
}

package hraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"

	"coordd.dev/internal/durable"
)

// The file written says how far the log goes, at least. raft-wal cuts a log at the first
// frame that it does not understand: right for a write that the power failed in, wrong for
// entries that this node has acknowledged, which it would vote as if it never had.
//
// Invariants:
//
//  1. The file is there, synced, before the first entry of a log.
//  2. It names an entry only after that entry is synced in the log. It is not synced
//     itself, so after a power failure it may be any of the records that were written
//     since it last was: all of them are lower bounds. After the death of the process
//     alone it is exact.
//  3. Before an end of the log is deleted it is lowered to what stays, and synced; every
//     record that says more is gone by then (both slots are written).
//
// Two slots, written in turn and of different sectors, so that one that is torn leaves the
// other: little endian, 4 bytes magic, uint64 each of a number that rises, index and term,
// uint32 CRC-32C of these. The greater number counts.
const (
	writtenMagic = "cwr1"
	writtenSize  = 4 + 3*8 + crc32.Size
	writtenSlots = 2
	writtenSlot  = 4 << 10 // bytes from one to the next
)

// A written is the open file.
type written struct {
	mu   sync.Mutex
	file *os.File
	turn uint64 // number of the last record
	at   position
}

// openWritten opens the file, or makes it for a log that is to be made.
func openWritten(path string, fresh bool) (*written, error) {
	w := new(written)
	_, err := os.Stat(path)
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case !fresh:
		return nil, fmt.Errorf("there are data and no %s: it was removed, or they are of a version before the first release "+
			"(then remove the directory)", path)
	default:
		b := make([]byte, writtenSlots*writtenSlot)
		for turn := range uint64(writtenSlots) {
			copy(b[turn*writtenSlot:], record(turn, position{}))
		}
		if err := durable.WriteFile(path, b); err != nil {
			return nil, err
		}
	}
	if w.file, err = os.OpenFile(path, os.O_RDWR, fileMode); err != nil {
		return nil, err
	}
	if err := w.load(); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	return w, nil
}

func record(turn uint64, at position) []byte {
	b := append(make([]byte, 0, writtenSize), writtenMagic...)
	for _, v := range []uint64{turn, at.index, at.term} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func (w *written) load() error {
	found := false
	for slot := range int64(writtenSlots) {
		var b [writtenSize]byte
		if _, err := w.file.ReadAt(b[:], slot*writtenSlot); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		turn := binary.LittleEndian.Uint64(b[4:])
		at := position{binary.LittleEndian.Uint64(b[12:]), binary.LittleEndian.Uint64(b[20:])}
		if string(b[:]) == string(record(turn, at)) && (!found || turn > w.turn) {
			found, w.turn, w.at = true, turn, at
		}
	}
	if !found {
		return fmt.Errorf("%w: %s has no record", ErrDamaged, w.file.Name())
	}
	return nil
}

// raise says that an entry is synced in the log.
func (w *written) raise(to position) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.put(to)
}

// lower says, for good, that the log goes no further than an entry.
func (w *written) lower(to position) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range writtenSlots {
		if err := w.put(to); err != nil {
			return err
		}
	}
	return w.file.Sync()
}

func (w *written) put(to position) error {
	b := record(w.turn+1, to)
	if _, err := w.file.WriteAt(b, int64((w.turn+1)%writtenSlots)*writtenSlot); err != nil {
		return err
	}
	w.turn++
	w.at = to
	return nil
}

func (w *written) close() error { return w.file.Close() }

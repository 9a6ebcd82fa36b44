package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// The envelope of an entry, version 1:
//
//	byte     version
//	uint32   CRC-32C of all that follows, little endian
//	uvarint  term
//	uvarint  increment, nanoseconds
//	uvarint  number of commands
//	         each command: uvarint length, bytes
//
// The checksum is the log's own because the stores below verify nothing when they
// read (RELIABILITY 3.11): what is applied has passed it, on every node.
const (
	entryVersion = 1
	entryHeader  = 1 + crc32.Size
)

var (
	// ErrEntryVersion says that an entry was written by a version that this one does
	// not understand.
	ErrEntryVersion = errors.New("unknown version of log entry")

	// ErrEntryDamaged says that an entry is not what was written.
	ErrEntryDamaged = errors.New("damaged log entry")
)

// castagnoli returns the table, which the standard library makes once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// AppendEntry appends the envelope of e to b.
func AppendEntry(b []byte, e Entry) []byte {
	start := len(b)
	b = append(b, entryVersion, 0, 0, 0, 0)
	b = binary.AppendUvarint(b, e.Term)
	b = binary.AppendUvarint(b, uint64(e.Increment))
	b = binary.AppendUvarint(b, uint64(len(e.Commands)))
	for _, c := range e.Commands {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
	}
	entry := b[start:]
	binary.LittleEndian.PutUint32(entry[1:], crc32.Checksum(entry[entryHeader:], castagnoli()))
	return b
}

// entrySize bounds the envelope of n commands of altogether size bytes.
func entrySize(n, size int) int {
	return entryHeader + 3*binary.MaxVarintLen64 + n*binary.MaxVarintLen32 + size
}

// DecodeEntry is the inverse of AppendEntry. The commands share the memory of b. The
// error wraps ErrEntryVersion or ErrEntryDamaged.
func DecodeEntry(b []byte) (Entry, error) {
	switch {
	case len(b) == 0:
		return Entry{}, fmt.Errorf("decode entry: %w: empty", ErrEntryDamaged)
	case b[0] != entryVersion:
		return Entry{}, fmt.Errorf("decode entry: %w: %d", ErrEntryVersion, b[0])
	case len(b) < entryHeader:
		return Entry{}, fmt.Errorf("decode entry: %w: %d bytes", ErrEntryDamaged, len(b))
	}
	rest := b[entryHeader:]
	if sum := crc32.Checksum(rest, castagnoli()); sum != binary.LittleEndian.Uint32(b[1:]) {
		return Entry{}, fmt.Errorf("decode entry: %w: checksum differs", ErrEntryDamaged)
	}
	e, err := decodeBody(rest)
	if err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	return e, nil
}

// decodeBody decodes what the checksum covers. That it matched says that this is what
// a writer wrote, not that the writer was right: every length is checked.
func decodeBody(b []byte) (Entry, error) {
	var head [3]uint64 // term, increment, number of commands
	for i := range head {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Entry{}, fmt.Errorf("%w: header cut short", ErrEntryDamaged)
		}
		head[i], b = v, b[n:]
	}
	if head[1] > math.MaxInt64 {
		return Entry{}, fmt.Errorf("%w: increment of %d", ErrEntryDamaged, head[1])
	}
	if head[2] > uint64(len(b)) { // a command takes at least a byte
		return Entry{}, fmt.Errorf("%w: %d commands in %d bytes", ErrEntryDamaged, head[2], len(b))
	}
	e := Entry{Term: head[0], Increment: time.Duration(head[1])}
	if head[2] > 0 {
		e.Commands = make([][]byte, head[2])
	}
	for i := range e.Commands {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return Entry{}, fmt.Errorf("%w: command %d cut short", ErrEntryDamaged, i)
		}
		end := n + int(size)
		e.Commands[i], b = b[n:end:end], b[end:]
	}
	if len(b) > 0 {
		return Entry{}, fmt.Errorf("%w: %d bytes too many", ErrEntryDamaged, len(b))
	}
	return e, nil
}

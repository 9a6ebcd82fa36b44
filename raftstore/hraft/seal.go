package hraft

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// A seal is what an entry carries in its Extensions, from the leader that makes it to the
// disk of every node:
//
//	byte     version
//	uint32   CRC-32C of index, term (uint64 each), type (byte) and data, little endian
//
// The checksum in the envelope of a command is another: it says that the commands are
// those that were proposed, the seal that the entry stands where it was logged.
const (
	sealVersion = 1
	sealSize    = 1 + crc32.Size
)

func sealOf(l *raft.Log) []byte {
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], l.Index)
	binary.LittleEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(head[:], table), table, l.Data)
	return binary.LittleEndian.AppendUint32([]byte{sealVersion}, sum)
}

// unbroken verifies an entry that must be sealed, and be the one at index.
func unbroken(index uint64, l *raft.Log) error {
	switch {
	case l.Index != index:
		return fmt.Errorf("%w: entry %d is in the place of entry %d", ErrDamaged, l.Index, index)
	case len(l.Extensions) != sealSize || l.Extensions[0] != sealVersion:
		return fmt.Errorf("%w: entry %d has no checksum", ErrDamaged, index)
	case string(l.Extensions) != string(sealOf(l)):
		return fmt.Errorf("%w: checksum of entry %d differs", ErrDamaged, index)
	}
	return nil
}

// A sealedLog seals what is made on this node, and verifies all that it stores or reads,
// also from the cache (RELIABILITY 3.11). So a damaged entry is neither applied nor sent,
// and a memory that errs is as good as a disk that does.
type sealedLog struct{ raft.LogStore }

// IsMonotonic is part of raft.MonotonicLogStore.
func (s sealedLog) IsMonotonic() bool { return isMonotonic(s.LogStore) }

// GetLog is part of raft.LogStore. raft sends the seal on with the entry.
func (s sealedLog) GetLog(index uint64, l *raft.Log) error {
	if err := s.LogStore.GetLog(index, l); err != nil {
		return err // the store's
	}
	return unbroken(index, l)
}

// StoreLog is part of raft.LogStore.
func (s sealedLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs is part of raft.LogStore. The entries are raft's, and stay as they are.
func (s sealedLog) StoreLogs(logs []*raft.Log) error {
	sealed := make([]*raft.Log, len(logs))
	for i, l := range logs {
		if len(l.Extensions) > 0 { // a leader's
			if err := unbroken(l.Index, l); err != nil {
				return err
			}
			sealed[i] = l
			continue
		}
		s := *l
		s.Extensions = sealOf(l)
		sealed[i] = &s
	}
	return s.LogStore.StoreLogs(sealed) // its error is the store's
}

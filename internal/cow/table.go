package cow

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/cespare/xxhash/v2"
)

// A Record has one canonical encoding, which the sum is taken over and snapshots hold.
type Record interface{ Append(b []byte) []byte }

// A RecordKey is a key with an encoding.
type RecordKey[K any] interface {
	Key[K]
	Record
}

// A Table is an Index of records with a running sum. Make it with NewTable.
type Table[K RecordKey[K], V Record] struct {
	index   Index[K, V]
	sum     uint64
	scratch []byte // not shared by copies
}

// NewTable returns an empty table.
func NewTable[K RecordKey[K], V Record]() Table[K, V] {
	return Table[K, V]{index: NewIndex[K, V]()}
}

// Get returns the record of k.
func (t *Table[K, V]) Get(k K) (V, bool) { return t.index.Get(k) }

// Put sets the record of k and returns the one before.
func (t *Table[K, V]) Put(k K, v V) (V, bool) {
	old, had := t.index.Put(k, v)
	if had {
		t.sum -= t.hash(k, old)
	}
	t.sum += t.hash(k, v)
	return old, had
}

// Delete removes k and returns its record.
func (t *Table[K, V]) Delete(k K) (V, bool) {
	old, had := t.index.Delete(k)
	if had {
		t.sum -= t.hash(k, old)
	}
	return old, had
}

// Load puts k, which must be greater than all keys of the table, faster than Put. It
// reports whether it was.
func (t *Table[K, V]) Load(k K, v V) bool {
	if !t.index.tree.load(k, v) {
		return false
	}
	t.sum += t.hash(k, v)
	return true
}

// First returns the least key that is at least from.
func (t *Table[K, V]) First(from K) (K, bool) {
	k, _, ok := t.index.First(from)
	return k, ok
}

// From yields the records whose keys are at least from, in order.
func (t *Table[K, V]) From(from K) iter.Seq2[K, V] { return t.index.From(from) }

// All yields all records, in order.
func (t *Table[K, V]) All() iter.Seq2[K, V] { return t.index.All() }

// Len is the number of records.
func (t *Table[K, V]) Len() int { return t.index.Len() }

// Sum is the sum of the records' hashes.
func (t *Table[K, V]) Sum() uint64 { return t.sum }

// Recount computes Sum anew, from all records, for checks.
func (t *Table[K, V]) Recount() uint64 {
	var sum uint64
	for k, v := range t.All() {
		sum += t.hash(k, v)
	}
	return sum
}

// Copy returns a copy, in O(1).
func (t *Table[K, V]) Copy() Table[K, V] {
	return Table[K, V]{index: t.index.Copy(), sum: t.sum}
}

// hash is of the key's encoding with its length behind it, so that no two records
// share their bytes, and the value's.
func (t *Table[K, V]) hash(k K, v V) uint64 {
	b := k.Append(t.scratch[:0])
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b))) //nolint:gosec // keys are under 2 KiB
	b = v.Append(b)
	t.scratch = b
	return xxhash.Sum64(b)
}

// Check reports whether the running sum differs from Recount's.
func (t *Table[K, V]) Check() error {
	if got := t.Recount(); got != t.sum {
		return fmt.Errorf("the running sum is %#x, the records' is %#x", t.sum, got)
	}
	return nil
}

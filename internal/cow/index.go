package cow

import (
	"iter"
	"slices"

	"github.com/tidwall/btree"
)

// A Key orders a table.
type Key[K any] interface{ Compare(K) int }

// An Index is an ordered map that is copied in O(1). Make it with NewIndex.
type Index[K Key[K], V any] struct {
	tree *btree.BTreeG[entry[K, V]]
}

type entry[K Key[K], V any] struct {
	key K
	val V
}

// NewIndex returns an empty index.
func NewIndex[K Key[K], V any]() Index[K, V] {
	less := func(a, b entry[K, V]) bool { return a.key.Compare(b.key) < 0 }
	return Index[K, V]{btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

// Get returns the value of k.
func (x *Index[K, V]) Get(k K) (V, bool) {
	e, ok := x.tree.Get(entry[K, V]{key: k})
	return e.val, ok
}

// Put sets the value of k and returns the one before.
func (x *Index[K, V]) Put(k K, v V) (V, bool) {
	e, ok := x.tree.Set(entry[K, V]{k, v})
	return e.val, ok
}

// Delete removes k and returns its value.
func (x *Index[K, V]) Delete(k K) (V, bool) {
	e, ok := x.tree.Delete(entry[K, V]{key: k})
	return e.val, ok
}

// First returns the entry with the least key that is at least from.
func (x *Index[K, V]) First(from K) (k K, v V, ok bool) {
	x.tree.Ascend(entry[K, V]{key: from}, func(e entry[K, V]) bool {
		k, v, ok = e.key, e.val, true
		return false
	})
	return k, v, ok
}

// Last returns the entry with the greatest key that is at most to.
func (x *Index[K, V]) Last(to K) (k K, v V, ok bool) {
	x.tree.Descend(entry[K, V]{key: to}, func(e entry[K, V]) bool {
		k, v, ok = e.key, e.val, true
		return false
	})
	return k, v, ok
}

// From yields the entries whose keys are at least from, in order.
func (x *Index[K, V]) From(from K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		x.tree.Ascend(entry[K, V]{key: from}, func(e entry[K, V]) bool {
			return yield(e.key, e.val)
		})
	}
}

// All yields all entries, in order.
func (x *Index[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		x.tree.Scan(func(e entry[K, V]) bool { return yield(e.key, e.val) })
	}
}

// Len is the number of entries.
func (x *Index[K, V]) Len() int { return x.tree.Len() }

// Copy returns a copy, in O(1).
func (x *Index[K, V]) Copy() Index[K, V] { return Index[K, V]{x.tree.Copy()} }

// Fill puts entries with distinct keys, in any order, into an index that is empty. Where
// they are many it is several times faster than Put of each, which would go all over the
// tree. n is how many they are: making room for more as they come would take as long as
// all the rest. It reports false if two keys are equal.
func (x *Index[K, V]) Fill(n int, entries iter.Seq2[K, V]) bool {
	all := make([]entry[K, V], 0, n)
	for k, v := range entries {
		all = append(all, entry[K, V]{k, v})
	}
	slices.SortFunc(all, func(a, b entry[K, V]) int { return a.key.Compare(b.key) })
	for i, e := range all {
		if i > 0 && all[i-1].key.Compare(e.key) == 0 {
			return false
		}
		x.load(e.key, e.val)
	}
	return true
}

// load puts k after all others, which is faster than Put.
func (x *Index[K, V]) load(k K, v V) { x.tree.Load(entry[K, V]{k, v}) }

package cow

import (
	"iter"
	"slices"
)

// A Key orders a table.
type Key[K any] interface{ Compare(K) int }

// An Index is an ordered map that is copied in O(1). Make it with NewIndex.
type Index[K Key[K], V any] struct {
	tree tree[K, V]
}

// NewIndex returns an empty index.
func NewIndex[K Key[K], V any]() Index[K, V] { return Index[K, V]{newTree[K, V]()} }

// Get returns the value of k.
func (x *Index[K, V]) Get(k K) (V, bool) { return x.tree.get(k) }

// Put sets the value of k and returns the one before.
func (x *Index[K, V]) Put(k K, v V) (V, bool) { return x.tree.put(k, v) }

// Delete removes k and returns its value.
func (x *Index[K, V]) Delete(k K) (V, bool) { return x.tree.delete(k) }

// First returns the entry with the least key that is at least from.
func (x *Index[K, V]) First(from K) (k K, v V, ok bool) { return x.tree.first(from) }

// Last returns the entry with the greatest key that is at most to.
func (x *Index[K, V]) Last(to K) (k K, v V, ok bool) { return x.tree.last(to) }

// From yields the entries whose keys are at least from, in order. Each step goes down the
// tree anew, so All is several times faster for many.
func (x *Index[K, V]) From(from K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, v, ok := x.tree.first(from); ok && yield(k, v); {
			k, v, ok = x.tree.after(k)
		}
	}
}

// All yields all entries, in order.
func (x *Index[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { x.tree.all(yield) }
}

// Len is the number of entries.
func (x *Index[K, V]) Len() int { return x.tree.len() }

// Copy returns a copy, in O(1).
func (x *Index[K, V]) Copy() Index[K, V] { return Index[K, V]{x.tree.copy()} }

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
	for _, e := range all {
		if !x.tree.load(e.key, e.val) {
			return false
		}
	}
	return true
}

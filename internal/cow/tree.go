package cow

import "github.com/tidwall/btree"

// A tree is what an Index needs of one. It is an interface since the compiler makes all
// methods of a generic type anew in each package that has the type somewhere in its own: the
// sixty of btree.BTreeG, for each of forty tables, took 18 s of a processor in each package
// above the rooms, and in their tests again; now it is 4 s. A Lock and Unlock of the machine
// take a tenth longer for it. No method takes a function that a loop on the hot path would
// have to allocate: all is for long loops only.
type tree[K Key[K], V any] interface {
	get(k K) (V, bool)
	put(k K, v V) (V, bool)
	delete(k K) (V, bool)
	first(from K) (K, V, bool)
	last(to K) (K, V, bool)
	after(k K) (K, V, bool)
	all(yield func(K, V) bool)
	len() int
	copy() tree[K, V]

	// load puts k after all others, which is faster than put. It reports whether it is.
	load(k K, v V) bool
}

// A bTree is the tree there is.
type bTree[K Key[K], V any] struct {
	of *btree.BTreeG[entry[K, V]]
}

type entry[K Key[K], V any] struct {
	key K
	val V
}

// newTree is not inlined: where it is called from is where bTree is compiled.
//
//go:noinline
func newTree[K Key[K], V any]() tree[K, V] {
	less := func(a, b entry[K, V]) bool { return a.key.Compare(b.key) < 0 }
	return bTree[K, V]{btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

func (t bTree[K, V]) get(k K) (V, bool) {
	e, ok := t.of.Get(entry[K, V]{key: k})
	return e.val, ok
}

func (t bTree[K, V]) put(k K, v V) (V, bool) {
	e, ok := t.of.Set(entry[K, V]{k, v})
	return e.val, ok
}

func (t bTree[K, V]) delete(k K) (V, bool) {
	e, ok := t.of.Delete(entry[K, V]{key: k})
	return e.val, ok
}

func (t bTree[K, V]) first(from K) (k K, v V, ok bool) {
	t.of.Ascend(entry[K, V]{key: from}, func(e entry[K, V]) bool {
		k, v, ok = e.key, e.val, true
		return false
	})
	return k, v, ok
}

func (t bTree[K, V]) last(to K) (k K, v V, ok bool) {
	t.of.Descend(entry[K, V]{key: to}, func(e entry[K, V]) bool {
		k, v, ok = e.key, e.val, true
		return false
	})
	return k, v, ok
}

func (t bTree[K, V]) after(k K) (next K, v V, ok bool) {
	t.of.Ascend(entry[K, V]{key: k}, func(e entry[K, V]) bool {
		if e.key.Compare(k) == 0 {
			return true
		}
		next, v, ok = e.key, e.val, true
		return false
	})
	return next, v, ok
}

func (t bTree[K, V]) all(yield func(K, V) bool) {
	t.of.Scan(func(e entry[K, V]) bool { return yield(e.key, e.val) })
}

func (t bTree[K, V]) len() int { return t.of.Len() }

func (t bTree[K, V]) copy() tree[K, V] { return bTree[K, V]{t.of.Copy()} }

func (t bTree[K, V]) load(k K, v V) bool {
	if last, ok := t.of.Max(); ok && last.key.Compare(k) >= 0 {
		return false
	}
	t.of.Load(entry[K, V]{k, v})
	return true
}

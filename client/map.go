package client

import (
	"context"
	"errors"
	"fmt"
	"iter"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// A Map is a typed sync.Map for coordination state: Map[any, any] has exactly
// sync.Map's methods. Keys and values are compared by their encoded bytes. Keys are
// encoded as JSON object keys are: strings, integers and text marshalers; those of a
// Map[any, any] are strings when they come back. A value is at most 64 KiB, a map at most
// 4,096 entries and 512 KiB. It stays until [Client.Delete].
//
// Each method is a call to the cluster, linearizable. A program that reads much more than is
// written follows the map instead ([Map.Watch]), or takes what may be old ([Map.LoadStale]).
type Map[K comparable, V any] struct {
	_ noCopy
	table
}

// A table is a Map without types.
type table struct {
	courier *courier
	ref     Ref
	codec   Codec
}

// A Revision is the number of a change: of the whole cluster, one log entry has many.
type Revision uint64

// An Entry is a pair of a Map.
type Entry[K comparable, V any] struct {
	Key      K
	Value    V
	Revision Revision
}

// NewMap returns a handle. (Methods have no type parameters, so it is a function.)
func NewMap[K comparable, V any](c *Client, name string, opts ...HandleOption) *Map[K, V] {
	return &Map[K, V]{table: table{
		courier: c.courier, ref: Ref{Kind: KindMap, Name: name}, codec: handleOptions(opts).coder(),
	}}
}

// Load returns the value of key.
func (m *Map[K, V]) Load(key K) (value V, ok bool) {
	m.forever(func(ctx context.Context) (err error) {
		value, ok, err = m.LoadContext(ctx, key)
		return err
	})
	return value, ok
}

// Store sets the value of key.
func (m *Map[K, V]) Store(key K, value V) {
	m.forever(func(ctx context.Context) error { return m.StoreContext(ctx, key, value) })
}

// LoadOrStore returns the value of key if there is one, else it stores value and returns that.
func (m *Map[K, V]) LoadOrStore(key K, value V) (actual V, loaded bool) {
	m.forever(func(ctx context.Context) (err error) {
		actual, loaded, err = m.LoadOrStoreContext(ctx, key, value)
		return err
	})
	return actual, loaded
}

// LoadAndDelete deletes key and returns the value that it had.
func (m *Map[K, V]) LoadAndDelete(key K) (value V, loaded bool) {
	m.forever(func(ctx context.Context) (err error) {
		value, loaded, err = m.LoadAndDeleteContext(ctx, key)
		return err
	})
	return value, loaded
}

// Delete deletes key.
func (m *Map[K, V]) Delete(key K) {
	m.forever(func(ctx context.Context) error { return m.DeleteContext(ctx, key) })
}

// Swap stores value and returns the one that was there.
func (m *Map[K, V]) Swap(key K, value V) (previous V, loaded bool) {
	m.forever(func(ctx context.Context) (err error) {
		previous, loaded, err = m.SwapContext(ctx, key, value)
		return err
	})
	return previous, loaded
}

// CompareAndSwap stores new if the value is old.
func (m *Map[K, V]) CompareAndSwap(key K, old, new V) (swapped bool) {
	m.forever(func(ctx context.Context) (err error) {
		swapped, err = m.CompareAndSwapContext(ctx, key, old, new)
		return err
	})
	return swapped
}

// CompareAndDelete deletes key if its value is old.
func (m *Map[K, V]) CompareAndDelete(key K, old V) (deleted bool) {
	m.forever(func(ctx context.Context) (err error) {
		deleted, err = m.CompareAndDeleteContext(ctx, key, old)
		return err
	})
	return deleted
}

// Clear deletes all entries.
func (m *Map[K, V]) Clear() { m.forever(m.ClearContext) }

// Range goes over one snapshot, by encoded key. (sync.Map promises less.)
func (m *Map[K, V]) Range(f func(key K, value V) bool) {
	var all []Entry[K, V]
	m.forever(func(ctx context.Context) (err error) {
		all, _, err = m.snapshot(ctx)
		return err
	})
	for _, e := range all {
		if !f(e.Key, e.Value) {
			return
		}
	}
}

// LoadContext is Load with a ctx.
func (m *Map[K, V]) LoadContext(ctx context.Context, key K) (value V, ok bool, err error) {
	return m.one(ctx, "load from ", &coordv1.MapOp{Verb: coordv1.MapVerb_MAP_VERB_LOAD}, key)
}

// StoreContext is Store with a ctx.
func (m *Map[K, V]) StoreContext(ctx context.Context, key K, value V) error {
	_, err := m.two(ctx, "store in ", coordv1.MapVerb_MAP_VERB_STORE, key, nil, &value)
	return err
}

// LoadOrStoreContext is LoadOrStore with a ctx.
func (m *Map[K, V]) LoadOrStoreContext(ctx context.Context, key K, value V) (actual V, loaded bool, err error) {
	out, err := m.two(ctx, "load or store in ", coordv1.MapVerb_MAP_VERB_LOAD_OR_STORE, key, nil, &value)
	if err != nil || out.GetValue() == 0 {
		return value, false, err
	}
	actual, err = decode[V](m.codec, out.GetData())
	return actual, true, err
}

// LoadAndDeleteContext is LoadAndDelete with a ctx.
func (m *Map[K, V]) LoadAndDeleteContext(ctx context.Context, key K) (value V, loaded bool, err error) {
	return m.one(ctx, "load and delete from ", &coordv1.MapOp{Verb: coordv1.MapVerb_MAP_VERB_LOAD_AND_DELETE}, key)
}

// DeleteContext is Delete with a ctx.
func (m *Map[K, V]) DeleteContext(ctx context.Context, key K) error {
	_, err := m.two(ctx, "delete from ", coordv1.MapVerb_MAP_VERB_DELETE, key, nil, nil)
	return err
}

// SwapContext is Swap with a ctx.
func (m *Map[K, V]) SwapContext(ctx context.Context, key K, value V) (previous V, loaded bool, err error) {
	out, err := m.two(ctx, "swap in ", coordv1.MapVerb_MAP_VERB_SWAP, key, nil, &value)
	if err != nil || out.GetValue() == 0 {
		return previous, false, err
	}
	previous, err = decode[V](m.codec, out.GetData())
	return previous, true, err
}

// CompareAndSwapContext is CompareAndSwap with a ctx.
func (m *Map[K, V]) CompareAndSwapContext(ctx context.Context, key K, old, new V) (swapped bool, err error) {
	out, err := m.two(ctx, "compare and swap in ", coordv1.MapVerb_MAP_VERB_COMPARE_AND_SWAP, key, &old, &new)
	return out.GetValue() == 1, err
}

// CompareAndDeleteContext is CompareAndDelete with a ctx.
func (m *Map[K, V]) CompareAndDeleteContext(ctx context.Context, key K, old V) (deleted bool, err error) {
	out, err := m.two(ctx, "compare and delete from ", coordv1.MapVerb_MAP_VERB_COMPARE_AND_DELETE, key, &old, nil)
	return out.GetValue() == 1, err
}

// ClearContext is Clear with a ctx.
func (m *Map[K, V]) ClearContext(ctx context.Context) error {
	_, err := m.do(ctx, "clear ", &coordv1.MapOp{Verb: coordv1.MapVerb_MAP_VERB_CLEAR})
	return err
}

// All is Range with a ctx. An error is the last pair.
func (m *Map[K, V]) All(ctx context.Context) iter.Seq2[Entry[K, V], error] {
	return func(yield func(Entry[K, V], error) bool) {
		all, _, err := m.snapshot(ctx)
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(Entry[K, V]{}, err)
		}
	}
}

// snapshot is all entries at a revision of the cluster. Those that could be decoded come
// before the error of one that could not.
func (m *Map[K, V]) snapshot(ctx context.Context) (all []Entry[K, V], at Revision, err error) {
	out, err := m.do(ctx, "read ", &coordv1.MapOp{Verb: coordv1.MapVerb_MAP_VERB_RANGE})
	if err != nil {
		return nil, 0, err
	}
	for _, p := range out.GetEntries().GetEntries() {
		e, err := m.entry(string(p.GetKey()), p.GetValue(), Revision(p.GetRevision()))
		if err != nil {
			return all, 0, err
		}
		all = append(all, e)
	}
	return all, Revision(out.GetEntries().GetRevision()), nil
}

func (m *Map[K, V]) entry(key string, value []byte, at Revision) (e Entry[K, V], err error) {
	e.Revision = at
	e.Key, err = decodeKey[K](key)
	if err == nil {
		e.Value, err = decode[V](m.codec, value)
	}
	if err != nil {
		err = fmt.Errorf("%s: key %q: %w", m.ref, key, err)
	}
	return e, err
}

// one is an op upon a key that returns what was there.
func (m *Map[K, V]) one(ctx context.Context, what string, op *coordv1.MapOp, key K) (value V, ok bool, err error) {
	out, err := m.two(ctx, what, op.GetVerb(), key, nil, nil)
	if err != nil || out.GetValue() == 0 {
		return value, false, err
	}
	value, err = decode[V](m.codec, out.GetData())
	return value, true, err
}

// two is an op upon a key with up to two values.
func (m *Map[K, V]) two(ctx context.Context, what string, verb coordv1.MapVerb, key K, old, new *V) (*coordv1.Outcome, error) {
	op := &coordv1.MapOp{Verb: verb}
	text, err := encodeKey(key)
	op.Key = []byte(text)
	if old != nil && err == nil {
		op.Old, err = encode(m.codec, *old)
	}
	if new != nil && err == nil {
		op.Value, err = encode(m.codec, *new)
	}
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", what, m.ref, err)
	}
	return m.do(ctx, what, op)
}

// do is an op upon the map.
func (m *table) do(ctx context.Context, what string, op *coordv1.MapOp) (*coordv1.Outcome, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s%s: %w", what, m.ref, err)
	}
	op.Name, op.Codec = m.ref.Name, m.codec.Name()
	class := lessee.ClassChange
	if op.GetVerb() == coordv1.MapVerb_MAP_VERB_LOAD || op.GetVerb() == coordv1.MapVerb_MAP_VERB_RANGE {
		class = lessee.ClassRead
	}
	return m.courier.ask(ctx, what+m.ref.String(), class, &coordv1.Op{Op: &coordv1.Op_MapOp{MapOp: op}})
}

// check says what is wrong with the handle.
func (m *table) check() error { return errors.Join(checkName(m.ref.Name), checkCodec(m.codec)) }

func (m *table) forever(f func(ctx context.Context) error) { m.courier.forever(m.ref, f) }

package table

import (
	"iter"

	"coordd.dev/internal/park"
)

// A Verb is what an op does: what the method of that name of sync.Map does. The values are
// the wire's; never reorder them.
type Verb uint8

// The verbs of this version.
const (
	Load Verb = iota + 1
	Store
	LoadOrStore
	LoadAndDelete
	Delete
	Swap
	CompareAndSwap
	CompareAndDelete
	Clear
	Range
)

// An Op is one call upon a map.
type Op struct {
	Verb  Verb
	Key   string // but of Clear and Range
	Value string // what Store, LoadOrStore, Swap and CompareAndSwap store
	Old   string // what CompareAndSwap and CompareAndDelete compare with
	Codec string // of keys and values, as the caller has it; "" takes what is stored
}

// A Result is what an op got, and what it did.
//
// Value is 1 if the key was there, of CompareAndSwap and CompareAndDelete if it was and had
// the value Old, and else 0; of Clear and Range it is how many entries there were. Data is
// the value that was there, for Load, LoadOrStore, LoadAndDelete and Swap: of a LoadOrStore
// that stored, the actual value is the caller's own.
type Result struct {
	park.Result
	Entries []Pair   // of Range: all, in the order of keys
	Changes []Change // in the order of their revisions; none if nothing changed
}

// A Pair is a key and its entry.
type Pair struct {
	Key string
	Entry
}

// A Change is an entry that was stored, or deleted: then its value is the one it had, its
// revision that of the deletion.
type Change struct {
	Pair
	Deleted bool
}

// Do does an op, and calls revision for each change: it must return numbers that rise.
// A refusal changes nothing and has as Value the limit that was met, or park.CodecDiffers.
func (r *Room) Do(on park.Object, op Op, revision func() uint64) Result {
	if code, value := r.refuse(on, &op); code != 0 {
		return refused(code, value)
	}
	switch op.Verb {
	case Range:
		return r.all(on)
	case Clear:
		return r.clear(on, revision)
	default:
		return r.one(place{on, op.Key}, &op, revision)
	}
}

func refused(code park.Code, value int64) Result {
	return Result{Result: park.Result{Code: code, Value: value}}
}

// refuse says why an op cannot be done whatever the map has in it; 0 if it can.
func (r *Room) refuse(on park.Object, op *Op) (park.Code, int64) {
	switch {
	case !park.ValidName(on.Name):
		return park.Invalid, park.MaxName
	case on.Kind != park.KindMap || op.Verb < Load || op.Verb > Range:
		return park.Invalid, 0
	case op.Codec != "" && (len(op.Codec) > MaxCodec || !park.ValidName(op.Codec)):
		return park.Invalid, MaxCodec
	case op.Verb < Clear && (op.Key == "" || len(op.Key) > MaxKey):
		return park.Invalid, MaxKey
	case len(op.Value) > MaxValue || len(op.Old) > MaxValue:
		return park.Invalid, MaxValue
	}
	if m, ok := r.maps.Get(on); ok && op.Codec != "" && op.Codec != m.Codec {
		return park.Mismatch, park.CodecDiffers
	}
	return 0, 0
}

// one does an op upon one key.
func (r *Room) one(at place, op *Op, revision func() uint64) Result {
	old, had := r.entries.Get(at)
	out := Result{Result: park.Result{Code: park.Done}}
	stores, deletes := false, false
	switch op.Verb {
	case Load:
		out.Data = old.Value
	case Store:
		stores = true
	case LoadOrStore:
		out.Data, stores = old.Value, !had
	case LoadAndDelete:
		out.Data, deletes = old.Value, had
	case Delete:
		deletes = had
	case Swap:
		out.Data, stores = old.Value, true
	case CompareAndSwap:
		had = had && old.Value == op.Old
		stores = had
	case CompareAndDelete:
		had = had && old.Value == op.Old
		deletes = had
	default:
		panic("table: an op upon no key")
	}
	if had {
		out.Value = 1
	}
	switch {
	case stores:
		m, code, limit := r.fit(at, op)
		if code != 0 {
			return refused(code, limit)
		}
		out.Changes = []Change{r.store(at, m, op.Value, revision())}
	case deletes:
		out.Changes = []Change{r.remove(at, revision())}
	}
	return out
}

// fit is what a map is once an op has stored its value. If there is no room for that, code
// is not 0.
func (r *Room) fit(at place, op *Op) (m Map, code park.Code, limit int64) {
	before, made := r.maps.Get(at.on)
	m = before
	if !made {
		m.Codec = op.Codec
	}
	old, had := r.entries.Get(at)
	if !had {
		m.Entries++
		m.Bytes += int64(len(at.key))
	}
	m.Bytes += int64(len(op.Value)) - int64(len(old.Value))
	switch {
	case !made && r.maps.Len() >= MaxMaps:
		return m, park.Limit, MaxMaps
	case m.Entries > MaxEntries:
		return m, park.Limit, MaxEntries
	case m.Bytes > MaxBytes:
		return m, park.Limit, MaxBytes
	case r.stored+m.weight()-before.weight() > MaxStored:
		return m, park.Limit, MaxStored
	}
	return m, 0, 0
}

// store stores a value in a map, which is then m.
func (r *Room) store(at place, m Map, value string, revision uint64) Change {
	r.count(at.on, m)
	e := Entry{value, revision}
	r.entries.Put(at, e)
	return Change{Pair: Pair{at.key, e}}
}

// remove deletes an entry that is there.
func (r *Room) remove(at place, revision uint64) Change {
	m, made := r.maps.Get(at.on)
	e, had := r.entries.Delete(at)
	if !made || !had {
		panic("table: an entry of no map is deleted")
	}
	m.Entries--
	m.Bytes -= int64(len(at.key) + len(e.Value))
	r.count(at.on, m)
	e.Revision = revision
	return Change{Pair: Pair{at.key, e}, Deleted: true}
}

// count puts the record of a map, and counts it for the room.
func (r *Room) count(on park.Object, m Map) {
	before, _ := r.maps.Put(on, m)
	r.stored += m.weight() - before.weight()
}

// all is Range.
func (r *Room) all(on park.Object) Result {
	m, _ := r.maps.Get(on)
	out := Result{Result: park.Result{Code: park.Done, Value: m.Entries}}
	if m.Entries == 0 {
		return out
	}
	out.Entries = make([]Pair, 0, m.Entries)
	for key, e := range r.Entries(on) {
		out.Entries = append(out.Entries, Pair{key, e})
	}
	return out
}

// clear deletes all entries of a map, in the order of keys.
func (r *Room) clear(on park.Object, revision func() uint64) Result {
	out := r.all(on)
	for _, p := range out.Entries {
		out.Changes = append(out.Changes, r.remove(place{on, p.Key}, revision()))
	}
	out.Entries = nil
	return out
}

// Entries yields the entries of a map, in the order of keys.
func (r *Room) Entries(on park.Object) iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		for at, e := range r.entries.From(place{on: on}) {
			if at.on != on || !yield(at.key, e) {
				return
			}
		}
	}
}

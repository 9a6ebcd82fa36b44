package table_test

import (
	"slices"
	"strings"

	"coordd.dev/internal/park"
	"coordd.dev/table"
)

// A pile is a room that is a list of maps, each a list of pairs in the order in which they
// came, looked through for every question.
type pile struct {
	maps     []heap
	revision uint64
}

type heap struct {
	name  string
	codec string
	pairs []table.Pair
}

func (p *pile) clone() pile {
	c := pile{slices.Clone(p.maps), p.revision}
	for i := range c.maps {
		c.maps[i].pairs = slices.Clone(c.maps[i].pairs)
	}
	return c
}

// find returns the map of a name; nil if there is none.
func (p *pile) find(name string) *heap {
	for i := range p.maps {
		if p.maps[i].name == name {
			return &p.maps[i]
		}
	}
	return nil
}

func (h *heap) index(key string) int {
	if h == nil {
		return -1
	}
	return slices.IndexFunc(h.pairs, func(p table.Pair) bool { return p.Key == key })
}

// get returns the value of a key, as in sync.Map.
func (h *heap) get(key string) (value string, ok bool) {
	if i := h.index(key); i >= 0 {
		return h.pairs[i].Value, true
	}
	return "", false
}

// sorted is all pairs by key.
func (h *heap) sorted() []table.Pair {
	if h == nil {
		return nil
	}
	return slices.SortedFunc(slices.Values(h.pairs), func(a, b table.Pair) int { return strings.Compare(a.Key, b.Key) })
}

func (h *heap) bytes() (n int) {
	for _, p := range h.pairs {
		n += len(p.Key) + len(p.Value)
	}
	return n
}

func answer(code park.Code, value int64, data string) table.Result {
	return table.Result{Result: park.Result{Code: code, Value: value, Data: data}}
}

func truth(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// do does an op as the documentation of sync.Map has it.
func (p *pile) do(name string, op table.Op) table.Result {
	if code, value := p.wrong(name, op); code != 0 {
		return answer(code, value, "")
	}
	h := p.find(name)
	old, ok := h.get(op.Key)
	equal := ok && old == op.Old
	switch op.Verb {
	case table.Load:
		return answer(park.Done, truth(ok), old)
	case table.Store:
		return p.set(name, op, answer(park.Done, truth(ok), ""))
	case table.Swap:
		return p.set(name, op, answer(park.Done, truth(ok), old))
	case table.LoadOrStore:
		if ok {
			return answer(park.Done, 1, old)
		}
		return p.set(name, op, answer(park.Done, 0, ""))
	case table.CompareAndSwap:
		if equal {
			return p.set(name, op, answer(park.Done, 1, ""))
		}
	case table.LoadAndDelete:
		if ok {
			return p.unset(name, op.Key, answer(park.Done, 1, old))
		}
	case table.Delete:
		if ok {
			return p.unset(name, op.Key, answer(park.Done, 1, ""))
		}
	case table.CompareAndDelete:
		if equal {
			return p.unset(name, op.Key, answer(park.Done, 1, ""))
		}
	case table.Range:
		out := answer(park.Done, int64(len(h.sorted())), "")
		out.Entries = h.sorted()
		return out
	case table.Clear:
		out := answer(park.Done, int64(len(h.sorted())), "")
		for _, pair := range h.sorted() {
			out = p.unset(name, pair.Key, out)
		}
		return out
	}
	return answer(park.Done, 0, "")
}

// wrong says what is wrong about an op's arguments.
func (p *pile) wrong(name string, op table.Op) (park.Code, int64) {
	keyed := op.Verb != table.Clear && op.Verb != table.Range
	switch h := p.find(name); {
	case name == "":
		return park.Invalid, 256
	case op.Verb == 0 || op.Verb > 10:
		return park.Invalid, 0
	case len(op.Codec) > 64 || strings.Contains(op.Codec, "\n"):
		return park.Invalid, 64
	case keyed && (len(op.Key) < 1 || len(op.Key) > 1024):
		return park.Invalid, 1024
	case len(op.Value) > 65536 || len(op.Old) > 65536:
		return park.Invalid, 65536
	case h != nil && op.Codec != "" && h.codec != op.Codec:
		return park.Mismatch, park.CodecDiffers
	}
	return 0, 0
}

// set stores, if the bytes of the map allow it: 4,096 entries and a full room have tests of their own.
func (p *pile) set(name string, op table.Op, out table.Result) table.Result {
	h := p.find(name)
	if h == nil {
		h = &heap{name: name, codec: op.Codec}
	}
	then := heap{h.name, h.codec, slices.Clone(h.pairs)}
	if i := then.index(op.Key); i >= 0 {
		then.pairs = slices.Delete(then.pairs, i, i+1)
	}
	p.revision++
	pair := table.Pair{Key: op.Key, Entry: table.Entry{Value: op.Value, Revision: p.revision}}
	then.pairs = append(then.pairs, pair)
	if then.bytes() > 524288 {
		p.revision--
		return answer(park.Limit, 524288, "")
	}
	p.maps = slices.DeleteFunc(p.maps, func(h heap) bool { return h.name == name })
	p.maps = append(p.maps, then)
	out.Changes = append(out.Changes, table.Change{Pair: pair})
	return out
}

// unset deletes a pair that is there.
func (p *pile) unset(name, key string, out table.Result) table.Result {
	h := p.find(name)
	i := h.index(key)
	pair := h.pairs[i]
	h.pairs = slices.Delete(h.pairs, i, i+1)
	p.revision++
	pair.Revision = p.revision
	out.Changes = append(out.Changes, table.Change{Pair: pair, Deleted: true})
	return out
}

// remove deletes a map.
func (p *pile) remove(name string) (park.Code, int64) {
	h := p.find(name)
	switch {
	case h == nil:
		return park.NotFound, 0
	case len(h.pairs) > 0:
		return park.Busy, int64(len(h.pairs))
	}
	p.maps = slices.DeleteFunc(p.maps, func(h heap) bool { return h.name == name })
	return park.Done, 0
}

// first is the least map from an object on.
func (p *pile) first(from park.Object) (least park.Object, ok bool) {
	for _, h := range p.maps {
		after := from.Kind < park.KindMap || from.Kind == park.KindMap && h.name >= from.Name
		if after && (!ok || h.name < least.Name) {
			least, ok = named(h.name), true
		}
	}
	return least, ok
}

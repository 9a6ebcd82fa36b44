package cow_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/wire"
)

type key int

func (k key) Compare(o key) int      { return cmp.Compare(k, o) }
func (k key) Append(b []byte) []byte { return wire.AppendInt(b, k) }

type val string

func (v val) Append(b []byte) []byte { return wire.AppendString(b, v) }

// A table is a map: whatever is done to it, and whatever is done to its copies.
func TestTableIsAMap(t *testing.T) { rapid.Check(t, anyTable) }

// FuzzTable is TestTableIsAMap, guided by coverage.
func FuzzTable(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyTable)) }

func anyTable(t *rapid.T) {
	type pair struct {
		table cow.Table[key, val]
		model map[key]val
	}
	pairs := []pair{{cow.NewTable[key, val](), map[key]val{}}}
	t.Repeat(map[string]func(*rapid.T){
		"put": func(t *rapid.T) {
			p := &pairs[rapid.IntRange(0, len(pairs)-1).Draw(t, "which")]
			k, v := key(rapid.IntRange(0, 300).Draw(t, "k")), val(rapid.String().Draw(t, "v"))
			old, had := p.table.Put(k, v)
			if want, ok := p.model[k]; had != ok || old != want {
				t.Fatalf("Put(%v) returned %v %v, want %v %v", k, old, had, want, ok)
			}
			p.model[k] = v
		},
		"delete": func(t *rapid.T) {
			p := &pairs[rapid.IntRange(0, len(pairs)-1).Draw(t, "which")]
			k := key(rapid.IntRange(0, 300).Draw(t, "k"))
			old, had := p.table.Delete(k)
			if want, ok := p.model[k]; had != ok || old != want {
				t.Fatalf("Delete(%v) returned %v %v, want %v %v", k, old, had, want, ok)
			}
			delete(p.model, k)
		},
		"copy": func(t *rapid.T) {
			if len(pairs) == 8 {
				return
			}
			p := &pairs[rapid.IntRange(0, len(pairs)-1).Draw(t, "which")]
			pairs = append(pairs, pair{p.table.Copy(), maps.Clone(p.model)})
		},
		"": func(t *rapid.T) {
			for i := range pairs {
				checkPair(t, &pairs[i].table, pairs[i].model)
			}
		},
	})
}

func checkPair(t *rapid.T, table *cow.Table[key, val], model map[key]val) {
	if table.Len() != len(model) {
		t.Fatalf("Len is %d, want %d", table.Len(), len(model))
	}
	if got := table.Recount(); got != table.Sum() {
		t.Fatalf("running sum %x, recount %x", table.Sum(), got)
	}
	fresh := cow.NewTable[key, val]()
	for _, k := range slices.Sorted(maps.Keys(model)) {
		if v, ok := table.Get(k); !ok || v != model[k] {
			t.Fatalf("Get(%v) = %q %v, want %q", k, v, ok, model[k])
		}
		if !fresh.Load(k, model[k]) {
			t.Fatalf("Load(%v) refused a rising key", k)
		}
	}
	if fresh.Sum() != table.Sum() {
		t.Fatal("the sum depends on the order of puts")
	}
	var keys []key
	for k := range table.From(100) {
		keys = append(keys, k)
	}
	if !slices.IsSorted(keys) || len(keys) > 0 && keys[0] < 100 {
		t.Fatalf("From(100) yields %v", keys)
	}
}

// Two records that differ only in where the key ends have different hashes, and the
// hash is the same on every machine and in every process.
func TestGoldenSum(t *testing.T) {
	one := cow.NewTable[key, val]()
	one.Put(1, "a")
	two := cow.NewTable[key, val]()
	two.Put(2, "a")
	if one.Sum() == two.Sum() {
		t.Error("the key is not in the hash")
	}
	const golden = 0x775056532f965ef8
	if one.Sum() != golden {
		t.Errorf("the hash of (1, a) is %#x, was %#x: nodes of two versions would diverge", one.Sum(), uint64(golden))
	}
}

// Fill makes of any order the index that Put makes, and refuses a key that comes twice.
func TestFill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := rapid.MapOf(rapid.IntRange(0, 1000), rapid.Int()).Draw(t, "model")
		index := cow.NewIndex[key, int]()
		if !index.Fill(len(model), func(yield func(key, int) bool) {
			for k, v := range model {
				if !yield(key(k), v) {
					return
				}
			}
		}) {
			t.Fatal("distinct keys are refused")
		}
		got := map[int]int{}
		last := key(-1)
		for k, v := range index.All() {
			if k <= last {
				t.Fatalf("%d comes after %d", k, last)
			}
			last, got[int(k)] = k, v
		}
		if !maps.Equal(got, model) {
			t.Fatalf("the index is %v, should be %v", got, model)
		}
		to, want := rapid.IntRange(-1, 1001).Draw(t, "to"), -1
		for k := range model {
			if k <= to {
				want = max(want, k)
			}
		}
		k, v, ok := index.Last(key(to))
		if ok != (want >= 0) || ok && (int(k) != want || v != model[want]) {
			t.Fatalf("Last(%d) is %d: %d, %v, should be %d", to, k, v, ok, want)
		}
	})
	twice := cow.NewIndex[key, int]()
	if twice.Fill(0, func(yield func(key, int) bool) { _ = yield(2, 0) && yield(1, 0) && yield(2, 1) }) {
		t.Error("a key that comes twice is taken")
	}
}

func TestLoadRefusesDisorder(t *testing.T) {
	table := cow.NewTable[key, val]()
	if !table.Load(2, "") || table.Load(2, "") || table.Load(1, "") {
		t.Error("Load takes keys that do not rise")
	}
}

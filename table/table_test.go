package table_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
	"coordd.dev/table"
)

func named(name string) park.Object { return park.Object{Kind: park.KindMap, Name: name} }

// numbers returns what gives revisions from n + 1 on.
func numbers(n uint64) func() uint64 {
	return func() uint64 {
		n++
		return n
	}
}

// never is of ops that must change nothing.
func never(t *testing.T) func() uint64 {
	return func() uint64 {
		t.Error("a revision is taken")
		return 0
	}
}

// drawOp draws an op. Those on a map that is large are mostly such as make it larger.
func drawOp(t *rapid.T, large bool) table.Op {
	values := []string{"", "v", "v\x00", "w\xff"}
	keys := []string{"k", "kk", "k\x00", "\x00", "\xff"}
	verbs := rapid.Map(rapid.IntRange(int(table.Load), int(table.Range)), func(v int) table.Verb { return table.Verb(v) })
	if large {
		values = []string{strings.Repeat("x", table.MaxValue), strings.Repeat("y", table.MaxValue-1)}
		keys = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", strings.Repeat("k", table.MaxKey)}
		verbs = rapid.SampledFrom([]table.Verb{table.Store, table.LoadOrStore, table.Swap, table.CompareAndSwap, table.CompareAndDelete})
	}
	value := rapid.SampledFrom(values)
	op := table.Op{
		Verb:  verbs.Draw(t, "verb"),
		Key:   rapid.SampledFrom(keys).Draw(t, "key"),
		Value: value.Draw(t, "value"),
		Old:   value.Draw(t, "old"),
		Codec: rapid.SampledFrom([]string{"", "", "", "", "", "", "", "json", "json", "gob"}).Draw(t, "codec"),
	}
	if rapid.IntRange(0, 31).Draw(t, "wrong") == 31 {
		switch rapid.IntRange(0, 6).Draw(t, "what") {
		case 0:
			op.Verb = rapid.SampledFrom([]table.Verb{0, table.Range + 1, 255}).Draw(t, "verb")
		case 1:
			op.Key = ""
		case 2:
			op.Key = strings.Repeat("k", table.MaxKey+1)
		case 3:
			op.Value = strings.Repeat("v", table.MaxValue+1)
		case 4:
			op.Old = strings.Repeat("v", table.MaxValue+1)
		case 5:
			op.Codec = strings.Repeat("c", table.MaxCodec+1)
		case 6:
			op.Codec = "a\nb"
		}
	}
	return op
}

// A room is a pile, whatever is done; a copy of it stays what it was. All that matters
// must have happened.
func TestRoomIsAPile(t *testing.T) {
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) { anyRoom(t, func(what string) { reached[what]++ }) })
	if testing.Short() {
		return // which are too few to demand anything
	}
	for _, what := range []string{
		"Limit", "Mismatch", "Invalid", "Cleared", "Overwritten", "Swapped", "Not swapped",
		"Deleted", "Not deleted", "Loaded", "Stored", "Map deleted", "Map busy", "No map", "Restored with entries",
	} {
		if reached[what] == 0 {
			t.Errorf("never: %s; reached %v", what, reached)
		}
	}
}

// FuzzRoom is TestRoomIsAPile, guided by coverage.
func FuzzRoom(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { anyRoom(t, func(string) {}) }))
}

func anyRoom(t *rapid.T, reached func(string)) {
	r, p := table.NewRoom(), pile{}
	copied, then, sum := r.Copy(), p.clone(), r.Sum()
	large := rapid.IntRange(0, 2).Draw(t, "large") == 1
	name := rapid.SampledFrom([]string{"a", "a", "aa", "b"})
	if large {
		name = rapid.Just("a")
	}
	one := func(t *rapid.T, on park.Object, op table.Op) {
		got := r.Do(on, op, numbers(p.revision))
		want := p.do(on.Name, op)
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%+v of %v: -want +got\n%s", op, on, diff)
		}
		reached(kindOf(op, want))
	}
	if large { // all but full
		for n := range table.MaxBytes/table.MaxValue - 1 {
			one(t, named("a"), store(fmt.Sprint(n), strings.Repeat("x", table.MaxValue)))
		}
	}
	do := func(t *rapid.T) {
		for range rapid.IntRange(1, 8).Draw(t, "ops") {
			one(t, named(name.Draw(t, "name")), drawOp(t, large))
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"do":   do,
		"more": do,
		"delete": func(t *rapid.T) {
			on := named(name.Draw(t, "name"))
			code, n := r.Delete(on)
			wantCode, wantN := p.remove(on.Name)
			if code != wantCode || n != wantN {
				t.Fatalf("deleting %v: code %d (%d), should be %d (%d)", on, code, n, wantCode, wantN)
			}
			reached(map[park.Code]string{park.Done: "Map deleted", park.Busy: "Map busy", park.NotFound: "No map"}[code])
		},
		"tidy": func(t *rapid.T) { r.Tidy(named(name.Draw(t, "name"))) },
		"copy": func(*rapid.T) { copied, then, sum = r.Copy(), p.clone(), r.Sum() },
		"restore": func(t *rapid.T) {
			if r = restored(t, &r); slices.ContainsFunc(p.maps, func(h heap) bool { return len(h.pairs) > 0 }) {
				reached("Restored with entries")
			}
		},
		"": func(t *rapid.T) {
			compare(t, &r, &p)
			compare(t, &copied, &then)
			if copied.Sum() != sum {
				t.Fatal("a copy has changed")
			}
		},
	})
}

// kindOf says what an op that ended so shows.
func kindOf(op table.Op, got table.Result) string {
	switch {
	case got.Code == park.Limit:
		return "Limit"
	case got.Code == park.Mismatch:
		return "Mismatch"
	case got.Code == park.Invalid:
		return "Invalid"
	case op.Verb == table.Clear && len(got.Changes) > 1:
		return "Cleared"
	case (op.Verb == table.Store || op.Verb == table.Swap) && got.Value == 1:
		return "Overwritten"
	case op.Verb == table.CompareAndSwap:
		return []string{"Not swapped", "Swapped"}[got.Value]
	case op.Verb == table.CompareAndDelete:
		return []string{"Not deleted", "Deleted"}[got.Value]
	case op.Verb == table.LoadOrStore:
		return []string{"Stored", "Loaded"}[got.Value]
	}
	return ""
}

func compare(t *rapid.T, r *table.Room, p *pile) {
	if faults := r.Check(p.revision); len(faults) > 0 {
		t.Fatal(faults)
	}
	if err := r.CheckSum(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []park.Object{{}, {Kind: park.KindMap - 1, Name: "z"}, named("a"), named("a\x00"), named("b"), named("c"), {Kind: park.KindMap + 1}} {
		got, ok := r.First(from)
		if want, there := p.first(from); got != want || ok != there {
			t.Fatalf("First(%v) is %v (%v), should be %v (%v)", from, got, ok, want, there)
		}
	}
	for _, name := range []string{"a", "aa", "b", "c"} {
		h := p.find(name)
		var want park.Traits
		if h != nil {
			want = park.Traits{Held: int64(len(h.pairs)), Bytes: int64(h.bytes()), Codec: h.codec}
		}
		if got, ok := r.Traits(named(name)); got != want || ok != (h != nil) {
			t.Fatalf("%s is %+v (%v), should be %+v", name, got, ok, want)
		}
		var pairs []table.Pair
		for key, e := range r.Entries(named(name)) {
			pairs = append(pairs, table.Pair{Key: key, Entry: e})
		}
		if diff := gocmp.Diff(h.sorted(), pairs, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("entries of %s: -want +got\n%s", name, diff)
		}
	}
}

// records are what a room saves.
func records(t interface{ Fatal(...any) }, r *table.Room) (records [][]byte) {
	err := r.Save(func(b []byte) error {
		records = append(records, slices.Clone(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// restore takes records into a new room.
func restore(records [][]byte) (table.Room, error) {
	r := table.NewRoom()
	err := r.Restore(func() (*wire.Decoder, error) {
		if len(records) == 0 {
			return nil, errShort
		}
		d := wire.NewDecoder(records[0])
		records = records[1:]
		return d, nil
	})
	return r, err
}

var errShort = fmt.Errorf("no more records")

func restored(t *rapid.T, r *table.Room) table.Room {
	again, err := restore(records(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if again.Sum() != r.Sum() {
		t.Fatal("the restored room has another hash")
	}
	return again
}

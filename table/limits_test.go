package table_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
	"coordd.dev/table"
)

func store(key, value string) table.Op { return table.Op{Verb: table.Store, Key: key, Value: value} }

// Each verb does what sync.Map does, on a map where x is "1".
func TestVerbs(t *testing.T) {
	for name, c := range map[string]struct {
		op      table.Op
		value   int64
		data    string
		changes int
	}{
		"load":                     {table.Op{Verb: table.Load, Key: "x"}, 1, "1", 0},
		"load what is not there":   {table.Op{Verb: table.Load, Key: "y"}, 0, "", 0},
		"store over":               {store("x", "2"), 1, "", 1},
		"store the same":           {store("x", "1"), 1, "", 1},
		"store":                    {store("y", "2"), 0, "", 1},
		"load, not store":          {table.Op{Verb: table.LoadOrStore, Key: "x", Value: "2"}, 1, "1", 0},
		"store, not load":          {table.Op{Verb: table.LoadOrStore, Key: "y", Value: "2"}, 0, "", 1},
		"load and delete":          {table.Op{Verb: table.LoadAndDelete, Key: "x"}, 1, "1", 1},
		"neither load nor delete":  {table.Op{Verb: table.LoadAndDelete, Key: "y"}, 0, "", 0},
		"delete":                   {table.Op{Verb: table.Delete, Key: "x"}, 1, "", 1},
		"delete what is not there": {table.Op{Verb: table.Delete, Key: "y"}, 0, "", 0},
		"swap":                     {table.Op{Verb: table.Swap, Key: "x", Value: "2"}, 1, "1", 1},
		"swap with nothing":        {table.Op{Verb: table.Swap, Key: "y", Value: "2"}, 0, "", 1},
		"compare, swap":            {table.Op{Verb: table.CompareAndSwap, Key: "x", Old: "1", Value: "2"}, 1, "", 1},
		"compare, not swap":        {table.Op{Verb: table.CompareAndSwap, Key: "x", Old: "2", Value: "3"}, 0, "", 0},
		"nothing is not empty":     {table.Op{Verb: table.CompareAndSwap, Key: "y", Old: "", Value: "3"}, 0, "", 0},
		"compare, delete":          {table.Op{Verb: table.CompareAndDelete, Key: "x", Old: "1"}, 1, "", 1},
		"compare, not delete":      {table.Op{Verb: table.CompareAndDelete, Key: "x", Old: "2"}, 0, "", 0},
		"nothing is not empty too": {table.Op{Verb: table.CompareAndDelete, Key: "y"}, 0, "", 0},
		"clear":                    {table.Op{Verb: table.Clear}, 1, "", 1},
		"range":                    {table.Op{Verb: table.Range}, 1, "", 0},
	} {
		r := table.NewRoom()
		revision := numbers(6)
		r.Do(named("m"), store("x", "1"), revision)
		sum := r.Sum()
		got := r.Do(named("m"), c.op, revision)
		if got.Code != park.Done || got.Value != c.value || got.Data != c.data || len(got.Changes) != c.changes {
			t.Errorf("%s: %+v, should be %d, %q and %d changes", name, got, c.value, c.data, c.changes)
		}
		if changed := r.Sum() != sum; changed != (c.changes > 0) {
			t.Errorf("%s: the room has changed: %v", name, changed)
		}
		for _, ch := range got.Changes {
			if ch.Revision != 8 {
				t.Errorf("%s: the revision is %d", name, ch.Revision)
			}
		}
	}
}

// What may not be asked for at all, of a map of json.
func TestRefusals(t *testing.T) {
	r := table.NewRoom()
	r.Do(named("m"), table.Op{Verb: table.Store, Key: "k", Value: "1", Codec: "json"}, numbers(0))
	r.Do(named("plain"), store("k", "1"), numbers(1))
	long := func(n int) string { return strings.Repeat("x", n) }
	sum := r.Sum()
	for name, c := range map[string]struct {
		on    park.Object
		op    table.Op
		code  park.Code
		value int64
	}{
		"no name":                  {named(""), store("k", ""), park.Invalid, park.MaxName},
		"a long name":              {named(long(park.MaxName + 1)), store("k", ""), park.Invalid, park.MaxName},
		"another kind":             {park.Object{Kind: park.KindLock, Name: "m"}, store("k", ""), park.Invalid, 0},
		"no verb":                  {named("m"), table.Op{Key: "k"}, park.Invalid, 0},
		"no key":                   {named("m"), store("", ""), park.Invalid, table.MaxKey},
		"no key to load":           {named("m"), table.Op{Verb: table.Load}, park.Invalid, table.MaxKey},
		"a longer key":             {named("m"), store(long(table.MaxKey+1), ""), park.Invalid, table.MaxKey},
		"a longer value":           {named("m"), store("k", long(table.MaxValue+1)), park.Invalid, table.MaxValue},
		"a longer old":             {named("m"), table.Op{Verb: table.CompareAndDelete, Key: "k", Old: long(table.MaxValue + 1)}, park.Invalid, table.MaxValue},
		"a longer codec":           {named("m"), table.Op{Verb: table.Load, Key: "k", Codec: long(table.MaxCodec + 1)}, park.Invalid, table.MaxCodec},
		"no text for a codec":      {named("m"), table.Op{Verb: table.Load, Key: "k", Codec: "\xff"}, park.Invalid, table.MaxCodec},
		"another codec":            {named("m"), table.Op{Verb: table.Store, Key: "k", Codec: "gob"}, park.Mismatch, park.CodecDiffers},
		"another codec to load":    {named("m"), table.Op{Verb: table.Load, Key: "k", Codec: "gob"}, park.Mismatch, park.CodecDiffers},
		"another codec to range":   {named("m"), table.Op{Verb: table.Range, Codec: "gob"}, park.Mismatch, park.CodecDiffers},
		"another codec to clear":   {named("m"), table.Op{Verb: table.Clear, Codec: "gob"}, park.Mismatch, park.CodecDiffers},
		"a codec, where is none":   {named("plain"), table.Op{Verb: table.Load, Key: "k", Codec: "json"}, park.Mismatch, park.CodecDiffers},
		"the codec":                {named("m"), table.Op{Verb: table.Load, Key: "k", Codec: "json"}, park.Done, 1},
		"any codec":                {named("m"), table.Op{Verb: table.Load, Key: "k"}, park.Done, 1},
		"any codec, where is none": {named("new"), table.Op{Verb: table.Load, Key: "k", Codec: "gob"}, park.Done, 0},
		"the longest codec":        {named("new"), table.Op{Verb: table.Load, Key: "k", Codec: long(table.MaxCodec)}, park.Done, 0},
		"nothing to swap":          {named("new"), table.Op{Verb: table.CompareAndSwap, Key: "k"}, park.Done, 0},
		"nothing to delete":        {named("new"), table.Op{Verb: table.Delete, Key: "k"}, park.Done, 0},
		"nothing to clear":         {named("new"), table.Op{Verb: table.Clear, Codec: "gob"}, park.Done, 0},
	} {
		got := r.Do(c.on, c.op, never(t))
		if got.Code != c.code || got.Value != c.value || len(got.Changes) != 0 {
			t.Errorf("%s: %+v, should be code %d (%d)", name, got, c.code, c.value)
		}
		if _, made := r.Traits(named("new")); made || r.Sum() != sum {
			t.Fatalf("%s: the room has changed", name)
		}
	}
}

// A map has a limit of entries and one of bytes. What is there may be changed at both, and
// a refused op changes nothing.
func TestMapLimits(t *testing.T) {
	r, revision := table.NewRoom(), numbers(0)
	do := func(op table.Op) park.Result { return r.Do(named("m"), op, revision).Result }
	for n := range table.MaxEntries {
		if got := do(store(fmt.Sprint(n), "")); got.Code != park.Done {
			t.Fatalf("entry %d: %+v", n, got)
		}
	}
	full := park.Result{Code: park.Limit, Value: table.MaxEntries}
	for _, verb := range []table.Verb{table.Store, table.LoadOrStore, table.Swap} {
		sum := r.Sum()
		if got := r.Do(named("m"), table.Op{Verb: verb, Key: "x"}, never(t)); got.Result != full || r.Sum() != sum {
			t.Errorf("verb %d at MaxEntries: %+v", verb, got)
		}
	}
	if got := do(store("7", "v")); got.Code != park.Done {
		t.Errorf("an entry that is there: %+v", got)
	}
	if got := do(table.Op{Verb: table.Clear}); got.Value != table.MaxEntries {
		t.Errorf("cleared: %+v", got)
	}
	value := strings.Repeat("v", table.MaxValue-1)
	for n := range table.MaxBytes / table.MaxValue {
		if got := do(store(fmt.Sprint(n), value)); got.Code != park.Done {
			t.Fatalf("value %d: %+v", n, got)
		}
	}
	full.Value = table.MaxBytes
	for _, op := range []table.Op{store("x", ""), store("1", value+"v"), {Verb: table.CompareAndSwap, Key: "1", Old: value, Value: value + "v"}, {Verb: table.LoadOrStore, Key: "x"}} {
		sum := r.Sum()
		if got := r.Do(named("m"), op, never(t)); got.Result != full || r.Sum() != sum {
			t.Errorf("verb %d at MaxBytes: %+v", op.Verb, got.Result)
		}
	}
	if got := do(store("1", value[:9])); got.Code != park.Done {
		t.Errorf("a smaller value: %+v", got)
	}
	if got := do(store("x", "v")); got.Code != park.Done {
		t.Errorf("below MaxBytes: %+v", got)
	}
	if faults := r.Check(1 << 20); len(faults) > 0 {
		t.Error(faults)
	}
}

// The whole room has a limit of maps and one of bytes.
func TestRoomLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the room")
	}
	r, revision := table.NewRoom(), numbers(0)
	for n := range table.MaxMaps {
		on := named(fmt.Sprint(n))
		r.Do(on, store("k", ""), revision)
		r.Do(on, table.Op{Verb: table.Clear}, revision)
	}
	if got := r.Do(named("x"), store("k", ""), never(t)); got.Code != park.Limit || got.Value != table.MaxMaps {
		t.Errorf("at MaxMaps: %+v", got)
	}
	if got := r.Do(named("7"), store("k", ""), revision); got.Code != park.Done {
		t.Errorf("a map that is there: %+v", got)
	}
	r.Delete(named("8"))
	if got := r.Do(named("x"), store("k", ""), revision); got.Code != park.Done {
		t.Errorf("below MaxMaps: %+v", got)
	}

	r = table.NewRoom()
	value, stored := strings.Repeat("v", table.MaxValue), int64(0)
	for n := 0; ; n++ {
		key := fmt.Sprintf("%06d", n)
		more := int64(len(key) + len(value) + table.Overhead)
		got := r.Do(named(fmt.Sprint(n/7)), store(key, value), revision)
		if fits := stored+more <= table.MaxStored; fits != (got.Code == park.Done) {
			t.Fatalf("%d stored, and %d more: %+v", stored, more, got.Result)
		} else if !fits {
			if got.Code != park.Limit || got.Value != table.MaxStored {
				t.Errorf("at MaxStored: %+v", got.Result)
			}
			break
		}
		stored += more
	}
	if got := r.Do(named("0"), table.Op{Verb: table.Delete, Key: "000000"}, revision); got.Value != 1 {
		t.Errorf("delete at MaxStored: %+v", got.Result)
	}
	if got := r.Do(named("y"), store("000000", value), revision); got.Code != park.Done {
		t.Errorf("below MaxStored: %+v", got.Result)
	}
}

// Nobody waits for a map.
func TestNoArms(t *testing.T) {
	r := table.NewRoom()
	a := park.Arm{On: named("m"), N: 1}
	if code, _ := r.Admit(a); code != park.Invalid {
		t.Errorf("Admit: code %d", code)
	}
	if r.Exclusive(a) {
		t.Error("a map is held exclusively")
	}
	for name, broken := range map[string]func(){
		"ready":   func() { r.Ready(a) },
		"commit":  func() { r.Commit(park.ID{}, a, 0, nil) },
		"release": func() { r.Release(park.ID{}, a, 1) },
		"held":    func() { r.Held(park.ID{}, a) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it goes on")
				}
			}()
			broken()
		})
	}
}

// Check tells of what does not add up, and CheckSum and Restore of what is damaged.
func TestCheckTells(t *testing.T) {
	r := table.NewRoom()
	r.Do(named("m"), store("a", "1"), numbers(0))
	r.Do(named("m"), store("b", "2"), numbers(1))
	saved := records(t, &r) // 1 map, the map, 2 entries, a, b
	entry := func(name, key string, revision uint64) []byte {
		b := wire.AppendString(named(name).Append(nil), key)
		return table.Entry{Value: "2", Revision: revision}.Append(b)
	}
	counts := func(m table.Map) []byte { return m.Append(named("m").Append(nil)) }
	for name, c := range map[string]struct {
		at     int
		record []byte
		faults int
	}{
		"nothing":                 {4, entry("m", "b", 2), 0},
		"a revision that is none": {4, entry("m", "b", 0), 1},
		"one twice":               {4, entry("m", "b", 1), 1},
		"one after the last":      {4, entry("m", "b", 3), 1},
		"an entry of no map":      {4, entry("n", "b", 2), 2},
		"another number":          {1, counts(table.Map{Entries: 1, Bytes: 4}), 1},
		"other bytes":             {1, counts(table.Map{Entries: 2, Bytes: 5}), 1},
		"above the limits":        {1, counts(table.Map{Entries: 2, Bytes: table.MaxBytes + 1}), 2},
		"above that of the room":  {1, counts(table.Map{Entries: 2, Bytes: table.MaxStored}), 3},
	} {
		damaged := append([][]byte{}, saved...)
		damaged[c.at] = c.record
		again, err := restore(damaged)
		if err != nil {
			t.Fatal(err)
		}
		if faults := again.Check(2); len(faults) != c.faults {
			t.Errorf("%s: %v", name, faults)
		}
	}
	for name, c := range map[string]struct {
		records [][]byte
		want    error
	}{
		"no maps":    {nil, errShort},
		"no entries": {saved[:2], errShort},
		"disorder":   {[][]byte{saved[0], saved[1], saved[2], saved[4], saved[3]}, cow.ErrDisorder},
		"no key":     {[][]byte{saved[0], saved[1], saved[2], entry("m", "", 1), saved[4]}, wire.ErrCorrupt},
	} {
		if _, err := restore(c.records); !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// The hash knows each record, and is the same on every machine and in every process.
func TestGoldenSum(t *testing.T) {
	r := table.NewRoom()
	r.Do(named("m"), table.Op{Verb: table.Store, Key: "k", Value: "v", Codec: "json"}, numbers(6))
	const golden = 0x59f273ca5cf86de6
	if r.Sum() != golden {
		t.Errorf("the hash is %#x, was %#x: nodes of two versions would diverge", r.Sum(), uint64(golden))
	}
}

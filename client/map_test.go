package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// Random operations do to a Map what they do to a sync.Map.
func TestMapIsSyncMap(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		r := rand.New(rand.NewPCG(1, 2))
		maps := []*client.Map[string, int]{
			client.NewMap[string, int](cluster.Dial(client.WithTTL(time.Hour)), "m"),
			client.NewMap[string, int](cluster.Dial(client.WithTTL(time.Hour)), "m"),
		}
		var reference sync.Map
		for i := range 600 {
			m := maps[r.IntN(2)]
			key, a, b := fmt.Sprint("k", r.IntN(6)), r.IntN(3), r.IntN(3)
			var got, want string
			switch op := r.IntN(10); op {
			case 0:
				v, ok := m.Load(key)
				w, there := reference.Load(key)
				got, want = fmt.Sprint(v, ok), fmt.Sprint(intOf(w), there)
			case 1:
				m.Store(key, a)
				reference.Store(key, a)
			case 2:
				v, ok := m.LoadOrStore(key, a)
				w, there := reference.LoadOrStore(key, a)
				got, want = fmt.Sprint(v, ok), fmt.Sprint(w, there)
			case 3:
				v, ok := m.LoadAndDelete(key)
				w, there := reference.LoadAndDelete(key)
				got, want = fmt.Sprint(v, ok), fmt.Sprint(intOf(w), there)
			case 4:
				m.Delete(key)
				reference.Delete(key)
			case 5:
				v, ok := m.Swap(key, a)
				w, there := reference.Swap(key, a)
				got, want = fmt.Sprint(v, ok), fmt.Sprint(intOf(w), there)
			case 6:
				got, want = fmt.Sprint(m.CompareAndSwap(key, a, b)), fmt.Sprint(reference.CompareAndSwap(key, a, b))
			case 7:
				got, want = fmt.Sprint(m.CompareAndDelete(key, a)), fmt.Sprint(reference.CompareAndDelete(key, a))
			case 8:
				if r.IntN(8) == 0 {
					m.Clear()
					reference.Clear()
				}
			case 9:
				all, of := map[any]any{}, map[any]any{}
				m.Range(func(k string, v int) bool { all[k] = v; return true })
				reference.Range(func(k, v any) bool { of[k] = v; return true })
				got, want = fmt.Sprint(all), fmt.Sprint(of)
			}
			if got != want {
				t.Fatalf("step %d on %s: %s, want %s", i, key, got, want)
			}
		}
	})
}

func intOf(v any) int {
	n, _ := v.(int)
	return n
}

// Keys are encoded as those of JSON objects, values by the codec.
func TestMapEncoding(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		byTime := client.NewMap[time.Time, []string](c, "times")
		at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		byTime.Store(at, []string{"x"})
		for e, err := range byTime.All(t.Context()) {
			if err != nil || !e.Key.Equal(at) || len(e.Value) != 1 || e.Revision == 0 {
				t.Errorf("%+v: %v", e, err)
			}
		}
		numbers := client.NewMap[int8, json.Number](c, "numbers")
		numbers.Store(-8, "12")
		anything := client.NewMap[any, any](c, "numbers")
		if v, ok := anything.Load("-8"); !ok || v != 12.0 {
			t.Errorf("loaded %v %v", v, ok)
		}
		raw := client.NewMap[string, []byte](c, "numbers", client.WithCodec(client.Raw()))
		if _, _, err := raw.LoadContext(t.Context(), "-8"); !errors.Is(err, client.ErrMismatch) {
			t.Errorf("with another codec: %v", err)
		}
		for name, err := range map[string]error{
			"an empty key":    client.NewMap[string, int](c, "m").StoreContext(t.Context(), "", 1),
			"a float":         client.NewMap[float64, int](c, "m").StoreContext(t.Context(), 1, 1),
			"a large value":   client.NewMap[string, string](c, "m").StoreContext(t.Context(), "k", string(make([]byte, 1<<16))),
			"no name":         client.NewMap[string, int](c, "").StoreContext(t.Context(), "k", 1),
			"what JSON lacks": client.NewMap[string, func()](c, "m").StoreContext(t.Context(), "k", nil),
		} {
			if !errors.Is(err, client.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A map stays, also empty, until it is deleted.
func TestMapDelete(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		m := client.NewMap[string, int](c, "m")
		if err := c.Delete(t.Context(), client.KindMap, "m"); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("delete of nothing: %v", err)
		}
		m.Store("k", 1)
		if d := must(c.Describe(t.Context(), client.KindMap, "m"))(t); d.Held != 1 || d.Codec != "json" {
			t.Errorf("described as %+v", d)
		}
		if err := c.Delete(t.Context(), client.KindMap, "m"); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Load("k"); ok {
			t.Error("it is there still")
		}
	})
}

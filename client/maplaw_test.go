package client_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A mapOp is what is done to a map.
type mapOp struct {
	verb, key string
	a, b      int
}

// on is what a map would be after it, and what it would return.
func (o mapOp) on(m map[string]int) (after map[string]int, told string) {
	after = maps.Clone(m)
	v, there := m[o.key]
	switch o.verb {
	case "load":
		return after, fmt.Sprint(v, there)
	case "store":
		after[o.key] = o.a
		return after, ""
	case "load or store":
		if there {
			return after, fmt.Sprint(v, true)
		}
		after[o.key] = o.a
		return after, fmt.Sprint(o.a, false)
	case "load and delete":
		delete(after, o.key)
		return after, fmt.Sprint(v, there)
	case "delete":
		delete(after, o.key)
		return after, ""
	case "swap":
		after[o.key] = o.a
		return after, fmt.Sprint(v, there)
	case "compare and swap":
		if there && v == o.a {
			after[o.key] = o.b
		}
		return after, fmt.Sprint(there && v == o.a)
	case "compare and delete":
		if there && v == o.a {
			delete(after, o.key)
		}
		return after, fmt.Sprint(there && v == o.a)
	case "clear":
		return map[string]int{}, ""
	default:
		return after, fmt.Sprint(m)
	}
}

var mapVerbs = [...]string{
	"load", "store", "store", "load or store", "load and delete", "delete", "swap", "compare and swap",
	"compare and delete", "clear", "range",
}

// do does it to a Map.
func (o mapOp) do(m *client.Map[string, int]) string {
	switch o.verb {
	case "load":
		v, ok := m.Load(o.key)
		return fmt.Sprint(v, ok)
	case "store":
		m.Store(o.key, o.a)
		return ""
	case "load or store":
		v, ok := m.LoadOrStore(o.key, o.a)
		return fmt.Sprint(v, ok)
	case "load and delete":
		v, ok := m.LoadAndDelete(o.key)
		return fmt.Sprint(v, ok)
	case "delete":
		m.Delete(o.key)
		return ""
	case "swap":
		v, ok := m.Swap(o.key, o.a)
		return fmt.Sprint(v, ok)
	case "compare and swap":
		return fmt.Sprint(m.CompareAndSwap(o.key, o.a, o.b))
	case "compare and delete":
		return fmt.Sprint(m.CompareAndDelete(o.key, o.a))
	case "clear":
		m.Clear()
		return ""
	default:
		all := map[string]int{}
		m.Range(func(k string, v int) bool { all[k] = v; return true })
		return fmt.Sprint(all)
	}
}

// Whatever several processes do to a map at once, it is as if they had done it one after the
// other in some order: a Range sees all of a Clear or nothing of it, and of two that compare
// and swap one does. A leader that dies has nothing forgotten and nothing done twice.
func TestLawsOfMaps(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		var clients []*client.Client
		for range 4 {
			clients = append(clients, cluster.Dial(client.WithTTL(time.Minute)))
		}
		program := 0
		rapid.Check(undated{t}, func(t *rapid.T) {
			program++
			name := fmt.Sprint("m", program)
			mayBe := []map[string]int{{}}
			for range rapid.IntRange(1, 16).Draw(t, "steps") {
				ops := rapid.SliceOfN(rapid.Custom(drawMapOp), 1, len(clients)).Draw(t, "at once")
				told := make([]string, len(ops))
				var over sync.WaitGroup
				for i, o := range ops {
					over.Go(func() { told[i] = o.do(client.NewMap[string, int](clients[i], name)) })
				}
				if rapid.IntRange(0, 99).Draw(t, "kill") == 0 {
					cluster.KillLeader().Restart()
				}
				over.Wait()
				if mayBe = mapsAfter(mayBe, ops, told); len(mayBe) == 0 {
					t.Fatalf("%v were told %q, which no order explains", ops, told)
				}
			}
		})
	})
}

func drawMapOp(t *rapid.T) mapOp {
	value := rapid.IntRange(0, 2)
	return mapOp{
		verb: rapid.SampledFrom(mapVerbs[:]).Draw(t, "verb"), key: rapid.SampledFrom([]string{"k", "l"}).Draw(t, "key"),
		a: value.Draw(t, "a"), b: value.Draw(t, "b"),
	}
}

// mapsAfter is what the map can be after ops in any order, which were told what they were.
func mapsAfter(before []map[string]int, ops []mapOp, told []string) []map[string]int {
	if len(ops) == 0 {
		return before
	}
	after := map[string]map[string]int{}
	for i, o := range ops {
		var next []map[string]int
		for _, m := range before {
			if n, s := o.on(m); s == told[i] {
				next = append(next, n)
			}
		}
		if len(next) == 0 {
			continue
		}
		rest := slices.Delete(slices.Clone(ops), i, i+1)
		restTold := slices.Delete(slices.Clone(told), i, i+1)
		for _, m := range mapsAfter(next, rest, restTold) {
			after[fmt.Sprint(m)] = m
		}
	}
	return slices.Collect(maps.Values(after))
}

// Of many that want the same one gets it: a count by compare-and-swap loses nothing, and an
// entry is stored, deleted and taken by one.
func TestMapHasOneWinner(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const processes, each, rounds = 3, 3, 6
		var stored, deleted, taken atomic.Int32
		var over sync.WaitGroup
		m := client.NewMap[string, int](cluster.Dial(client.WithTTL(time.Minute)), "m")
		m.Store("count", 0)
		m.Store("delete", 7)
		m.Store("take", 7)
		for p := range processes {
			m := client.NewMap[string, int](cluster.Dial(client.WithTTL(time.Minute)), "m")
			for range each {
				over.Go(func() {
					for range rounds {
						for n, _ := m.Load("count"); !m.CompareAndSwap("count", n, n+1); n, _ = m.Load("count") {
						}
					}
					if v, loaded := m.LoadOrStore("store", p); !loaded {
						stored.Add(1)
					} else if w, _ := m.Load("store"); v != w {
						t.Errorf("loaded %d and %d", v, w)
					}
					if m.CompareAndDelete("delete", 7) {
						deleted.Add(1)
					}
					if _, loaded := m.LoadAndDelete("take"); loaded {
						taken.Add(1)
					}
				})
			}
		}
		cluster.KillLeader().Restart()
		over.Wait()
		if n, _ := m.Load("count"); n != processes*each*rounds {
			t.Errorf("counted to %d", n)
		}
		if stored.Load() != 1 || deleted.Load() != 1 || taken.Load() != 1 {
			t.Errorf("%d stored, %d deleted, %d took", stored.Load(), deleted.Load(), taken.Load())
		}
	})
}

// Range goes over what there was when it began, whatever its function and others do meanwhile,
// and stops when it is told to.
func TestMapRangeIsOfASnapshot(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const n = 20
		m := client.NewMap[int, int](cluster.Dial(), "m")
		other := client.NewMap[int, int](cluster.Dial(), "m")
		for i := range n {
			m.Store(i, i)
		}
		var seen []int
		m.Range(func(k, v int) bool {
			if k != v {
				t.Errorf("%d has %d", k, v)
			}
			seen = append(seen, k)
			m.Store(k+n, k)
			m.Delete(k)
			other.Store(n-k, -1)
			if len(seen) == n/2 {
				other.Clear()
			}
			return true
		})
		slices.Sort(seen)
		if len(seen) != n || seen[0] != 0 || len(slices.Compact(seen)) != n {
			t.Errorf("went over %v", seen)
		}
		calls := 0
		m.Range(func(int, int) bool { calls++; return calls < 3 })
		if calls != 3 {
			t.Errorf("called %d times after it was to stop", calls)
		}
		synctest.Wait()
		if err := m.ClearContext(context.Background()); err != nil {
			t.Error(err)
		}
		m.Range(func(int, int) bool { t.Error("of an empty map"); return false })
	})
}

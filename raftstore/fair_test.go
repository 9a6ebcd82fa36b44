package raftstore

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// waiting is a queue of commands, each named by its source and number, a letter and a digit,
// and of a size.
func waiting(size int, names ...string) *fairQueue {
	f := new(fairQueue)
	for _, name := range names {
		f.push(Source(name[0]), command{data: []byte(name + strings.Repeat(".", size-len(name)))})
	}
	return f
}

func names(batch []command) string {
	var words []string
	for _, c := range batch {
		words = append(words, strings.TrimRight(string(c.data), "."))
	}
	return strings.Join(words, " ")
}

// TestFairTurns: sources have turns of a quantum, whoever came first and however much each has.
func TestFairTurns(t *testing.T) {
	f := waiting(quantum/2, "a1", "a2", "a3", "a4", "a5", "b1", "c1", "c2")
	if got, want := names(f.take(nil, 3*quantum)), "a1 a2 b1 c1 c2 a3"; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
	f.push('b', command{data: []byte("b2")})
	if got, want := names(f.take(nil, math.MaxInt)), "a4 a5 b2"; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
	if f.len() != 0 || len(f.lanes) != 0 {
		t.Errorf("%d left in %d lanes", f.len(), len(f.lanes))
	}
}

// TestFairLarge: a command that is larger than a quantum, or than the limit, goes alone.
func TestFairLarge(t *testing.T) {
	f := waiting(3*quantum, "a1", "a2", "b1")
	for i, want := range []string{"a1 b1", "a2", ""} {
		if got := names(f.take(nil, 6*quantum)); got != want {
			t.Errorf("take %d: %s, want %s", i, got, want)
		}
	}
	f = waiting(3*quantum, "a1", "b1")
	for i, want := range []string{"a1", "b1"} {
		if got := names(f.take(nil, quantum)); got != want {
			t.Errorf("take %d of less than one: %s, want %s", i, got, want)
		}
	}
	f = waiting(quantum, "a1")
	full := []command{{data: make([]byte, quantum)}}
	if got := f.take(full, quantum); len(got) != 1 {
		t.Errorf("a full batch got %d more", len(got)-1)
	}
}

// TestFairOrder: at random, each source's commands come in their order, none is lost, and no
// batch is larger than it may be.
func TestFairOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	f := new(fairQueue)
	const sources, limit = 7, 3 * quantum
	pushed, taken := make([]int, sources), make([]int, sources)
	for range 20_000 {
		if r.IntN(10) > 0 {
			s := r.IntN(sources)
			name := fmt.Sprintf("%d %d ", s, pushed[s])
			f.push(Source(s), command{data: []byte(name + strings.Repeat(".", r.IntN(quantum*3/2)))})
			pushed[s]++
			continue
		}
		batch := f.take(nil, limit)
		size := 0
		for _, c := range batch {
			var s, n int
			if _, err := fmt.Sscanf(string(c.data), "%d %d", &s, &n); err != nil || n != taken[s] {
				t.Fatalf("took %d of source %d, after %d (%v)", n, s, taken[s], err)
			}
			taken[s]++
			size += len(c.data)
		}
		if size > limit {
			t.Fatalf("took %d bytes", size)
		}
	}
	f.take(nil, math.MaxInt) // the rest
	if f.len() != 0 || len(f.lanes) != 0 {
		t.Errorf("%d are left, in %d lanes", f.len(), len(f.lanes))
	}
	if slices.Max(taken) == 0 {
		t.Error("nothing was taken")
	}
}

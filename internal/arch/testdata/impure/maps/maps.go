// Package maps breaks the rule that no map order reaches an output.
package maps

import (
	"iter"
	"maps"
)

type table map[string]int

func first(m map[string]int) string {
	for k := range m { // want ranges over a map
		return k
	}
	return ""
}

func named(t table) (sum int) {
	for _, v := range t { // want ranges over a map
		sum += v
	}
	return sum
}

func generic[M ~map[K]V, K comparable, V any](m M) (keys []K) {
	for k := range m { // want ranges over a map
		keys = append(keys, k)
	}
	return keys
}

func keys(m map[string]int) iter.Seq[string] {
	return maps.Keys(m) // want uses maps.Keys
}

// order-free: but this is too far away to be about the loop.
func far(m map[string]int) (sum int) {
	for _, v := range m { // want ranges over a map
		sum += v
	}
	return sum
}

func unreasoned(m map[string]int) (sum int) {
	// order-free:
	for _, v := range m { // want ranges over a map
		sum += v
	}
	return sum
}

// Package latest holds one value of which only the newest matters.
//
// Invariants:
//
//  1. A writer never waits for a reader.
//  2. Whoever takes a value and waits for its channel misses no newer value: the
//     channel of a value is closed once there is another. Values between may be
//     skipped.
package latest

import "sync"

// A Value is the newest of a sequence of values. Make it with New.
type Value[T comparable] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{} // of value; closed when it is replaced
}

// New returns a Value that begins with v.
func New[T comparable](v T) *Value[T] {
	return &Value[T]{value: v, changed: make(chan struct{})}
}

// Get returns the value and a channel that is closed when there is a newer.
func (l *Value[T]) Get() (T, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value, l.changed
}

// Set replaces the value. Nobody is woken if it is the same.
func (l *Value[T]) Set(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.value == v {
		return
	}
	l.value = v
	close(l.changed)
	l.changed = make(chan struct{})
}

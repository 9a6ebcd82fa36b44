// Package concurrency breaks the rule that one goroutine owns a pure room.
package concurrency

import (
	"context"     // want imports context
	"sync"        // want imports sync
	"sync/atomic" // want imports sync/atomic
)

type state struct {
	mu    sync.Mutex
	ctx   context.Context
	n     atomic.Int64
	ready chan int // want has a channel
}

func (s *state) run() {
	go s.run()     // want starts a goroutine
	s.ready <- 1   // want sends
	n := <-s.ready // want receives
	select {       // want selects
	default:
	}
	_ = n
}

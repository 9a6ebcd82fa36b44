package hraft

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

var errStalled = errors.New("the disk does not answer")

// stallSteps is how many parts of the limit must pass, each by a timer of its own, until a
// write has stalled. A process that was stopped (SIGSTOP, a virtual machine that moves) for
// however long finds one of them over, not the limit.
const stallSteps = 4

// A stall is the watch over one write: raft goes on sending heartbeats while its write
// hangs, so that nobody can write and nobody else can lead (RELIABILITY 3.4). The write
// itself cannot be ended, and nobody waits for it but Engine.Close.
type stall struct {
	failure *failure
	what    string
	step    time.Duration

	mu    sync.Mutex
	timer *time.Timer
	left  int // steps until the write has stalled; 0: it is over
}

func watchStall(f *failure, what string, limit time.Duration) *stall {
	s := &stall{failure: f, what: what, step: limit / stallSteps, left: stallSteps}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(s.step, s.tick) // until over
	return s
}

func (s *stall) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return
	}
	if s.left--; s.left > 0 {
		s.timer.Reset(s.step)
		return
	}
	s.failure.report(fmt.Errorf("%s: %w for %v", s.what, errStalled, stallSteps*s.step))
}

// over says that the write has come back.
func (s *stall) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = 0
	s.timer.Stop()
}

package client

import (
	"sync"
	"sync/atomic"
	"time"
)

// skewSlack is how far the wall clock may fall behind the monotonic one before that is
// taken as the new normal. It is well under every margin (50 ms at least) and well
// over the jitter of reading two clocks one after the other.
const skewSlack = time.Millisecond

// A clock tells how much time has passed since it was made: as much as either the wall
// clock or the monotonic clock says (SEMANTICS A4). The monotonic clock of Linux
// stands still while the machine is suspended, the wall clock does not.
//
// It never runs backwards: a wall clock that jumps ahead and is set back has moved it
// ahead for good, and the next jump counts again. Were it simply the greater of the
// two, a lease renewed while the wall clock was ahead would outlive its due when it
// is put right. This is the only file that reads the clock.
type clock struct {
	start time.Time
	skew  atomic.Pointer[skew]

	mu sync.Mutex // serialises the changes of skew
}

// skew is how far the wall clock is ahead of the monotonic one since start, and how
// much of its jumps has been counted.
type skew struct{ seen, counted time.Duration }

func newClock() *clock {
	c := &clock{start: time.Now()}
	c.skew.Store(&skew{})
	return c
}

// now is the time since the clock was made.
func (c *clock) now() time.Duration {
	t := time.Now()
	mono := t.Sub(c.start)
	ahead := time.Duration(t.UnixNano()-c.start.UnixNano()) - mono
	s := c.skew.Load()
	if ahead > s.seen || ahead < s.seen-skewSlack {
		s = c.adjust(ahead)
	}
	return mono + s.counted
}

func (c *clock) adjust(ahead time.Duration) *skew {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := *c.skew.Load()
	switch {
	case ahead > s.seen:
		s.counted += ahead - s.seen
		s.seen = ahead
	case ahead < s.seen-skewSlack:
		s.seen = ahead
	}
	c.skew.Store(&s)
	return &s
}

// at is the local time of a reading of now.
func (c *clock) at(d time.Duration) time.Time { return time.Now().Add(d - c.now()) }

package client

import (
	"slices"
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
	mono, ahead := c.read()
	s := c.skew.Load()
	if s.differs(ahead) {
		s = c.adjust()
	}
	return mono + s.counted
}

// ahead is how much of now no timer has counted: for so long the machine was suspended.
func (c *clock) ahead() time.Duration {
	c.now()
	return c.skew.Load().counted
}

// read reads both clocks, the wall clock as what it is ahead of the other.
func (c *clock) read() (mono, ahead time.Duration) {
	t := time.Now()
	mono = t.Sub(c.start)
	return mono, time.Duration(t.UnixNano()-c.start.UnixNano()) - mono
}

// adjust looks again, three times: to a thread that is preempted between the readings of
// the two clocks they are apart.
func (c *clock) adjust() *skew {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ahead [3]time.Duration
	for i := range ahead {
		_, ahead[i] = c.read()
	}
	slices.Sort(ahead[:])
	s := c.skew.Load().after(ahead[1])
	c.skew.Store(&s)
	return &s
}

// differs reports whether a reading is to be looked into.
func (s *skew) differs(ahead time.Duration) bool {
	return ahead > s.seen || ahead < s.seen-skewSlack
}

// after is s once the wall clock was seen so much ahead.
func (s *skew) after(ahead time.Duration) skew {
	switch {
	case ahead > s.seen:
		return skew{seen: ahead, counted: s.counted + ahead - s.seen}
	case ahead < s.seen-skewSlack:
		return skew{seen: ahead, counted: s.counted}
	}
	return *s
}

// at is the local time of a reading of now.
func (c *clock) at(d time.Duration) time.Time { return time.Now().Add(d - c.now()) }

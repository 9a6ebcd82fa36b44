package client

import (
	"testing"
	"time"
)

// What the wall clock is ahead of the monotonic one is counted whenever it grows, and
// never given back (SEMANTICS A4).
func TestClockCountsJumps(t *testing.T) {
	var s skew
	for _, step := range []struct {
		ahead, counted time.Duration // of the wall clock; in all
	}{
		{0, 0},
		{100 * time.Nanosecond, 100 * time.Nanosecond}, // jitter of two readings
		{-400 * time.Nanosecond, 100 * time.Nanosecond},
		{100 * time.Nanosecond, 100 * time.Nanosecond}, // does not add up
		{time.Hour, time.Hour},                         // the machine was suspended, or the clock was set
		{time.Hour - time.Microsecond, time.Hour},
		{0, time.Hour},                          // set back: what was counted stays
		{time.Minute, time.Hour + time.Minute},  // and the next jump counts again
		{-time.Minute, time.Hour + time.Minute}, // behind
		{time.Second, time.Hour + 2*time.Minute + time.Second},
	} {
		if s.differs(step.ahead) {
			s = s.after(step.ahead)
		}
		if s.counted != step.counted {
			t.Fatalf("%v ahead: counted %v, want %v", step.ahead, s.counted, step.counted)
		}
	}
}

func TestClockNeverRunsBackwards(t *testing.T) {
	c := newClock()
	last := c.now()
	for range 100_000 {
		now := c.now()
		if now < last {
			t.Fatalf("%v after %v", now, last)
		}
		last = now
	}
	if s := c.skew.Load(); s.counted > skewSlack {
		t.Errorf("jitter added up to %v", s.counted)
	}
}

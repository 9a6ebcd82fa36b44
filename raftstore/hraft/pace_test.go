package hraft

import (
	"testing"
	"testing/synctest"
	"time"
)

// slowWriter takes a time for each write.
type slowWriter time.Duration

func (w slowWriter) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(w))
	return len(b), nil
}

// A paced writer is busy for a quarter of the time, rests no longer than it may, and not at
// all once it is to hurry.
func TestPacedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hurry := make(chan struct{})
		took := func(w slowWriter) time.Duration {
			p := &pacedWriter{w: w, hurry: hurry, since: time.Now()}
			start := time.Now()
			for range 10 {
				if n, err := p.Write([]byte("some")); n != 4 || err != nil {
					t.Fatal(n, err)
				}
			}
			return time.Since(start)
		}
		if d := took(slowWriter(time.Millisecond)); d != 40*time.Millisecond {
			t.Errorf("writes of 1 ms: 10 took %v", d)
		}
		if d := took(slowWriter(time.Second)); d != 10*(time.Second+paceMost) {
			t.Errorf("writes of 1 s: 10 took %v", d)
		}
		time.AfterFunc(20*time.Millisecond, func() { close(hurry) })
		if d := took(slowWriter(time.Millisecond)); d != 25*time.Millisecond {
			t.Errorf("writes of 1 ms, hurried after 20: 10 took %v", d)
		}
	})
}

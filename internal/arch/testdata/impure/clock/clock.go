// Package clock breaks the rule that a pure room is told the time.
package clock

import "time"

var epoch time.Time // want uses time.Time

func wait(d time.Duration) time.Duration {
	time.Sleep(d)                       // want uses time.Sleep
	start := time.Now()                 // want uses time.Now
	later := time.After                 // want uses time.After
	timer := time.AfterFunc(d, func() { // want uses time.AfterFunc
		later(d)
	})
	timer.Stop()             // want uses time.Stop
	return time.Since(start) // want uses time.Since
}

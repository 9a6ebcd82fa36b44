package main

import (
	"errors"
	"os"
	"syscall"
	"time"

	"coordd.dev/client"
)

// A guard is what a running child is watched for.
type guard struct {
	signals   <-chan os.Signal
	lost      <-chan struct{} // closed when the hold is lost
	err       func() error    // nil while it is surely held; reads the clock
	killAfter time.Duration   // between TERM and KILL
	maxRun    time.Duration   // 0 is no limit
}

// A verdict is why a child ended; a greater one overrules a smaller.
type verdict int

const (
	onItsOwn verdict = iota + 1
	ranTooLong
	lostLock
)

// supervise waits for the child and sees to it that it is gone, and with it its process
// group if that is its own, before the lease can end on the cluster. The client gives
// the hold up killAfter before that, so TERM at the loss and KILL killAfter later is in
// time. What a child that ends on its own leaves behind in its group is left.
func (g guard) supervise(c *child) (verdict, error) {
	limit := newTimer(g.maxRun)
	defer limit.Stop()
	kill := newTimer(0)
	defer kill.Stop()

	why := onItsOwn
	stop := func(v verdict, grace time.Duration) {
		why = v
		c.stop()
		kill.Reset(grace)
	}
	lost, done := g.lost, c.done
	var rest <-chan struct{} // closed when coordctl can wait for none of the group any more
	var result error         // what done gave
	killed := false
	for {
		select {
		case result = <-done:
			done = nil
			if why < lostLock && g.err() != nil { // perhaps both were paused, and the child woke first
				lost = nil
				stop(lostLock, g.grace())
			}
			if why == onItsOwn {
				return why, result
			}
			rest = c.rest()
		case <-rest:
			rest = nil
			if killed || !c.anyLeft() {
				return why, result
			}
		case sig := <-g.signals:
			if s, ok := sig.(syscall.Signal); ok {
				c.forward(s)
			}
		case <-lost:
			lost = nil
			stop(lostLock, g.grace())
		case <-limit.C:
			if why == onItsOwn {
				stop(ranTooLong, g.killAfter)
			}
		case <-kill.C:
			killed = true
			c.signal(syscall.SIGKILL)
			if done == nil && rest == nil {
				return why, result
			}
		}
	}
}

// grace is the time left between TERM and KILL when the hold is lost: less than
// killAfter if that was noticed late.
func (g guard) grace() time.Duration {
	if lost, ok := errors.AsType[*client.LostError](g.err()); ok {
		return g.killAfter - time.Since(lost.At)
	}
	return 0
}

// newTimer returns a timer that fires after d, or never if d is 0.
func newTimer(d time.Duration) *time.Timer {
	if d > 0 {
		return time.NewTimer(d)
	}
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

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

// supervise waits for the child and sees to it that it is gone before the lease can
// end on the cluster. The client gives the hold up killAfter before that, so TERM at
// the loss and KILL killAfter later is in time.
func (g guard) supervise(c *child) (verdict, error) {
	limit := newTimer(g.maxRun)
	defer limit.Stop()
	kill := newTimer(0)
	defer kill.Stop()

	why := onItsOwn
	stop := func(v verdict, grace time.Duration) {
		why = v
		c.signal(syscall.SIGTERM)
		c.signal(syscall.SIGCONT) // a stopped one could not obey
		kill.Reset(grace)
	}
	lost := g.lost
	for {
		select {
		case err := <-c.done:
			if why == onItsOwn && g.err() != nil {
				why = lostLock // both were paused past the lease, and the child woke first
			}
			return why, err
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
			c.signal(syscall.SIGKILL)
		}
	}
}

// grace is the time left between TERM and KILL when the hold is lost. After a pause of
// the process there is none: the lease may have ended long ago.
func (g guard) grace() time.Duration {
	lost, ok := errors.AsType[*client.LostError](g.err())
	if !ok || lost.Reason == client.ReasonPaused {
		return 0
	}
	return g.killAfter - time.Since(lost.At)
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

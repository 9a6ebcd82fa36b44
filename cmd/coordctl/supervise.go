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
	look := newTimer(0) // runs once the child was asked to stop
	defer look.Stop()

	why := onItsOwn
	var grace countdown
	stop := func(v verdict, from time.Time) {
		why, grace = v, countdown{from, g.killAfter}
		c.stop()
		look.Reset(grace.step())
	}
	lost, done := g.lost, c.done
	var result error // what done gave
	for {
		select {
		case result = <-done:
			done = nil
			if why < lostLock && g.err() != nil { // perhaps both were paused, and the child woke first
				lost = nil
				stop(lostLock, g.lostAt())
			}
			if why == onItsOwn {
				return why, result
			}
			look.Reset(0)
		case sig := <-g.signals:
			if s, ok := sig.(syscall.Signal); ok {
				c.forward(s)
			}
		case <-lost:
			lost = nil
			stop(lostLock, g.lostAt())
		case <-limit.C:
			if why == onItsOwn {
				stop(ranTooLong, time.Now())
			}
		case <-look.C:
			over := grace.over()
			switch {
			case done == nil && (over || !c.anyLeft()):
				c.signal(syscall.SIGKILL) // also who was born while anyLeft looked
				return why, result
			case over:
				c.signal(syscall.SIGKILL) // and done will follow
			case done == nil:
				look.Reset(min(grace.step(), restLook))
			default:
				look.Reset(grace.step())
			}
		}
	}
}

// lostAt is when the hold was lost: the deadline, also if that was noticed later.
func (g guard) lostAt() time.Time {
	if lost, ok := errors.AsType[*client.LostError](g.err()); ok {
		return lost.At
	}
	return time.Now()
}

const (
	suspendLook = time.Second           // how late a suspend is noticed
	restLook    = 20 * time.Millisecond // how late the end of the rest of a group: the kernel tells only parents
)

// A countdown is the time from TERM to KILL. It is as long as either clock says: the
// monotonic one, and so a timer, stands still while the machine is suspended.
type countdown struct {
	from time.Time
	of   time.Duration
}

func (d countdown) left() time.Duration {
	now := time.Now()
	return d.of - max(now.Sub(d.from), now.Round(0).Sub(d.from.Round(0)))
}

func (d countdown) over() bool { return d.left() <= 0 }

// step is how long to wait before another look.
func (d countdown) step() time.Duration { return max(0, min(d.left(), suspendLook)) }

// newTimer returns a timer that fires after d, or never if d is 0.
func newTimer(d time.Duration) *time.Timer {
	if d > 0 {
		return time.NewTimer(d)
	}
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

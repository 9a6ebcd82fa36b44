package client

import (
	"context"
	"time"

	"coordd.dev/internal/lessee"
)

const (
	// lookMost bounds how late a jump of the clock is noticed.
	lookMost = time.Second

	// jumpLeast is the least of it that is a jump; every margin is larger.
	jumpLeast = 10 * time.Millisecond
)

// serveClock has all sessions of the conn look at the clock when the machine was suspended,
// when timers stood still. It looks so often that contexts end within a margin of their
// deadline nevertheless: that is before the cluster may end the session (SEMANTICS A4).
func (c *conn) serveClock(ctx context.Context) {
	t := time.NewTicker(lookMost)
	defer t.Stop()
	for told := c.clock.ahead(); ; {
		select {
		case <-ctx.Done():
			return
		case <-c.oftener:
			c.mu.Lock()
			t.Reset(c.look)
			c.mu.Unlock()
		case <-t.C:
		}
		ahead := c.clock.ahead()
		if ahead-told < jumpLeast {
			continue
		}
		told = ahead
		c.mu.Lock()
		for k := range c.couriers {
			kick(k.due)
		}
		c.mu.Unlock()
	}
}

// keepTime tells the lessee the time when it asked for it.
func (k *courier) keepTime(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.due:
		case <-t.C:
			k.advance()
			kick(k.wake)
		}
		if wait, ok := k.nextLook(); ok {
			t.Reset(wait)
		} else {
			t.Stop()
			kick(k.wake) // what the timer was set for may have come meanwhile
		}
	}
}

// nextLook is how long keepTime may wait; ok is false if for as long as nothing happens.
func (k *courier) nextLook() (wait time.Duration, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok := k.lessee.NextDue()
	return max(0, at-k.clock.now()), ok
}

// advance lets the lessee know the time, and has its lease renewed if it is due.
func (k *courier) advance() {
	k.mu.Lock()
	now := k.clock.now()
	k.lessee.Advance(now)
	lease, renew := k.lessee.Renew(now)
	k.after()
	k.mu.Unlock()
	if renew {
		k.conn.renewals.add(dueLease{k, lease})
	}
}

// renewAlong returns the lease if it is going to be due soon.
func (k *courier) renewAlong() (lessee.Lease, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	lease, ok := k.lessee.RenewAlong(k.clock.now())
	k.after()
	return lease, ok
}

func (k *courier) renewed(lease lessee.Lease, r lessee.Renewal) {
	k.mu.Lock()
	k.lessee.Renewed(k.clock.now(), lease, r)
	k.after()
	k.mu.Unlock()
	kick(k.due)
}

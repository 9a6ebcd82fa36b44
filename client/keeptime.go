package client

import (
	"context"
	"time"

	"coordd.dev/internal/lessee"
)

// lookMost bounds how late a jump of the clock is noticed.
const lookMost = time.Second

// keepTime tells the lessee the time when it asked for it, and while it has a session so
// often that contexts end within a margin of its deadline although timers stood still
// while the machine was suspended: that is before the cluster may end it (SEMANTICS A4).
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
	wait = max(0, at-k.clock.now())
	if id, _ := k.lessee.Session(); id != 0 {
		wait = min(wait, k.lessee.Margin(), lookMost)
	}
	return wait, ok
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

func (k *courier) renewed(lease lessee.Lease, r lessee.Renewal) {
	k.mu.Lock()
	k.lessee.Renewed(k.clock.now(), lease, r)
	k.after()
	k.mu.Unlock()
	kick(k.due)
}

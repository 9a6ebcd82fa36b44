package client

import (
	"context"
	"testing"
	"testing/synctest"

	"coordd.dev/internal/lessee"
)

// Whatever keepTime hears of first, the end of a rest wakes run: if it is told that
// NextDue is another just when its timer would fire, it stops that timer.
func TestTheEndOfARestIsNeverMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &courier{
			clock:  newClock(),
			due:    make(chan struct{}, 1),
			wake:   make(chan struct{}, 1),
			lessee: lessee.New(lessee.Config{TTL: minTTL}), // nothing is due to it
			live:   noLive(),
		}
		ctx, stop := context.WithCancel(t.Context())
		k.wg.Go(func() { k.keepTime(ctx) })
		synctest.Wait()
		<-k.wake // its first look
		kick(k.due)
		synctest.Wait()
		select {
		case <-k.wake:
		default:
			t.Error("nothing is due any more, and run was not woken")
		}
		stop()
		k.wg.Wait()
	})
}

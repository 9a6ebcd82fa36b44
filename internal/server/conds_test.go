package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

func (p *plain) awaitSignal(id, hold string, limit time.Duration) (uint64, error) {
	r, err := p.conds.AwaitSignal(p.t.Context(), &coordv1.AwaitSignalRequest{
		Lease: p.lease, RequestId: id, Name: "full", Hold: hold, Lock: "x", WaitLimit: durationpb.New(limit),
	})
	return r.GetToken(), err
}

func (p *plain) goAwaitSignal(id, hold string) <-chan got {
	done := make(chan got, 1)
	go func() {
		token, err := p.awaitSignal(id, hold, time.Hour)
		done <- got{token, err}
	}()
	return done
}

func (p *plain) wantWoken(id string, want int64) {
	p.t.Helper()
	r, err := p.conds.Signal(p.t.Context(), &coordv1.SignalRequest{Lease: p.lease, RequestId: id, Name: "full"})
	if err != nil || r.GetWoken() != want {
		p.t.Errorf("signal %s woke %d, not %d: %v", id, r.GetWoken(), want, err)
	}
}

// A wait lets go of the lock, and comes back with it; a retried signal wakes nobody else.
func TestCond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		before := a.mustLock("l", "x")
		first := a.goAwaitSignal("w", "l")
		synctest.Wait()
		again := a.goAwaitSignal("w", "l")
		b.mustLock("l", "x") // a has let go
		second := b.goAwaitSignal("w", "l")
		synctest.Wait()
		n.wantCounts(0, 2)
		for range 3 {
			b.wantWoken("s", 1)
		}
		one, retried := <-first, <-again
		if one.err != nil || one.token <= before || one != retried {
			t.Errorf("woken with %v, and on the retry %v, after token %d", one, retried, before)
		}
		n.wantCounts(1, 1)
		_, err := a.lock(t.Context(), "l", "x")
		wantReason(t, err, coordv1.Reason_REASON_CALL_OVER)
		r, err := a.conds.Broadcast(t.Context(), &coordv1.BroadcastRequest{Lease: a.lease, RequestId: "all", Name: "full"})
		if err != nil || r.GetWoken() != 1 {
			t.Errorf("a broadcast: %v, %v", r, err)
		}
		a.mustUnlock("w") // the lock is the call's now
		if g := <-second; g.err != nil || g.token <= one.token {
			t.Error(g)
		}
		b.wantWoken("nobody", 0)
	})
}

func TestCondRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		_, err := p.awaitSignal("1", "none", time.Second)
		wantReason(t, err, coordv1.Reason_REASON_NOT_FOUND)
		p.mustLock("l", "x", "y")
		_, err = p.awaitSignal("2", "l", time.Second)
		n.wantSays(err, coordv1.Reason_REASON_INVALID, "await signal of full: the call of hold does not hold that lock, "+
			"alone and not shared; give the request_id of a Lock of it, under another request_id")
		n.wantCounts(1, 0)
		p.mustUnlock("l")
		p.mustLock("l2", "x")
		for range 2 {
			_, err = p.awaitSignal("3", "l2", time.Second)
			n.wantSays(err, coordv1.Reason_REASON_TIMED_OUT, "await signal of full: no signal, or not the lock after it, "+
				"within the wait limit, and the lock is not held; lock it, and look again, under another request_id")
		}
		n.wantCounts(0, 0)
	})
}

package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

func TestLockIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		held := a.send(lockOp("x"))
		first := a.want(held, coordv1.Code_CODE_GRANTED).GetToken()
		waiting := b.send(lockOp("x"))
		if err := n.replica.AwaitWaiters(t.Context(), lockNamed("x"), 1); err != nil {
			t.Fatal(err)
		}
		ended := a.send(endOp(held))
		a.want(ended, coordv1.Code_CODE_DONE)
		if second := b.want(waiting, coordv1.Code_CODE_GRANTED).GetToken(); second <= first {
			t.Errorf("token %d after %d", second, first)
		}
	})
}

func TestExpiryIsTicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		start := time.Now()
		a := open(t, n.api, 1)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		time.Sleep(time.Second)
		b := open(t, n.api, 2)
		b.want(b.send(waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{{Kind: coordv1.Kind_KIND_LOCK, Name: "x"}}})),
			coordv1.Code_CODE_GRANTED)
		if d := time.Since(start); d != testTTL {
			t.Errorf("granted after %v, not the TTL", d)
		}
		a.wantEnd(coordv1.Reason_REASON_SESSION_OVER)
	})
}

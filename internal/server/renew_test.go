package server_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

func TestRenewalsAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		clients := make([]*client, 50)
		for i := range clients {
			clients[i] = open(t, n.api, uint64(i)+1) //nolint:gosec // small
		}
		before, begin := n.engine.appended(), time.Now()
		var calls sync.WaitGroup
		for _, c := range clients {
			calls.Go(func() {
				got, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{c.lease()}})
				if err != nil || got.GetRenewals()[0] != coordv1.Renewal_RENEWAL_RENEWED {
					t.Errorf("renewal: %v, %v", got, err)
				}
			})
		}
		calls.Wait()
		if d := time.Since(begin); d != 100*time.Millisecond {
			t.Errorf("answered after %v", d)
		}
		if entries := n.engine.appended() - before; entries != 1 {
			t.Errorf("%d entries", entries)
		}
	})
}

func TestShortLeaseWaitsShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		long := open(t, n.api, 1)
		short := &client{t: t, api: n.api, instance: 2}
		if _, err := short.attach(&coordv1.Attach{Ttl: durationpb.New(500 * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var calls sync.WaitGroup
		for _, c := range []*client{long, short} {
			calls.Go(func() {
				if _, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{c.lease()}}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		calls.Wait()
		if d := time.Since(begin); d != 25*time.Millisecond {
			t.Errorf("answered after %v", d)
		}
	})
}

func TestRenewalRidesWithOps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		begin := time.Now()
		renewed := make(chan error, 1)
		go func() {
			_, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{a.lease()}})
			renewed <- err
		}()
		synctest.Wait()
		a.want(a.send(noop()), coordv1.Code_CODE_DONE)
		if err := <-renewed; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("answered after %v", d)
		}
	})
}

func TestRenewAnswersEachLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b, revoked := open(t, n.api, 1), open(t, n.api, 2), open(t, n.api, 3)
		if _, err := n.api.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: revoked.id}); err != nil {
			t.Fatal(err)
		}
		got, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{
			a.lease(),
			{SessionId: b.id, Secret: a.secret()},
			{SessionId: 999, Secret: a.secret()},
			{},
			revoked.lease(),
			b.lease(),
		}})
		if err != nil {
			t.Fatal(err)
		}
		want := []coordv1.Renewal{
			coordv1.Renewal_RENEWAL_RENEWED, coordv1.Renewal_RENEWAL_OVER, coordv1.Renewal_RENEWAL_OVER,
			coordv1.Renewal_RENEWAL_OVER, coordv1.Renewal_RENEWAL_REVOKED, coordv1.Renewal_RENEWAL_RENEWED,
		}
		if !slices.Equal(got.GetRenewals(), want) {
			t.Errorf("got %v", got.GetRenewals())
		}
	})
}

// A session that is not here may have been opened elsewhere since: a node that was deposed
// and does not know it yet must not say that it is over.
func TestUnknownLeaseIsAnsweredFromTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		release := n.engine.holdBack() // nothing can be committed
		answered := make(chan *coordv1.RenewResponse, 1)
		go func() {
			got, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{
				Leases: []*coordv1.Lease{{SessionId: 7, Secret: make([]byte, 16)}},
			})
			if err != nil {
				t.Error(err)
			}
			answered <- got
		}()
		time.Sleep(time.Second / 2)
		select {
		case got := <-answered:
			t.Errorf("answered without an entry: %v", got)
			return
		default:
		}
		release()
		if got := <-answered; got.GetRenewals()[0] != coordv1.Renewal_RENEWAL_OVER {
			t.Errorf("answered %v", got)
		}
	})
}

func TestTooManyLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		leases := make([]*coordv1.Lease, 10_001)
		for i := range leases {
			leases[i] = &coordv1.Lease{SessionId: 1}
		}
		_, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: leases})
		if info := wantReason(t, err, coordv1.Reason_REASON_LIMIT); info.GetMetadata()["limit"] != "leases" {
			t.Errorf("metadata is %v", info.GetMetadata())
		}
	})
}

func TestRenewedSessionOutlivesItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		for range 10 {
			time.Sleep(testTTL / 3)
			got, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{a.lease()}})
			if err != nil || got.GetRenewals()[0] != coordv1.Renewal_RENEWAL_RENEWED {
				t.Fatalf("renewal: %v, %v", got, err)
			}
		}
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		begin := time.Now()
		a.wantEnd(coordv1.Reason_REASON_SESSION_OVER)
		if d := time.Since(begin); d != testTTL {
			t.Errorf("ended %v after its last renewal", d)
		}
	})
}

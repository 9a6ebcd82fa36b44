package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/park"
)

func (p *plain) acquire(id string, count, limit int64) error {
	_, err := p.semaphores.Acquire(p.t.Context(), &coordv1.AcquireRequest{
		Lease: p.lease, RequestId: id, Name: "s", Count: count, Limit: limit,
	})
	return err
}

func (p *plain) mustAcquire(id string, count, limit int64) {
	p.t.Helper()
	if err := p.acquire(id, count, limit); err != nil {
		p.t.Fatalf("acquire: %v", err)
	}
}

func (p *plain) release(id, hold string, count int64) error {
	_, err := p.semaphores.Release(p.t.Context(), &coordv1.ReleaseRequest{
		Lease: p.lease, RequestId: id, Hold: hold, Count: count,
	})
	return err
}

func (p *plain) mustRelease(id, hold string, count int64) {
	p.t.Helper()
	if err := p.release(id, hold, count); err != nil {
		p.t.Fatalf("release: %v", err)
	}
}

// wantPermits wants so many permits of semaphore s to be out.
func (p *plain) wantPermits(held int64) {
	p.t.Helper()
	id := time.Now().String() // of this instant
	_, err := p.semaphores.Acquire(p.t.Context(), &coordv1.AcquireRequest{
		Lease: p.lease, RequestId: id, Name: "s", Count: 5, Try: true,
	})
	d, ok := detail[*coordv1.Description](err)
	if !ok || d.GetHeld() != held {
		p.t.Errorf("%d permits are out, not %d (%v)", d.GetHeld(), held, err)
	}
	time.Sleep(time.Millisecond) // to the next
}

func TestPartsOfPermitsAreReleasedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustAcquire("a", 4, 5)
		for range 3 {
			a.mustRelease("r", "a", 1)
			b.wantPermits(3)
		}
		err := a.release("too many", "a", 4)
		if got := wantReason(t, err, coordv1.Reason_REASON_INVALID).GetMetadata()["value"]; got != "3" {
			t.Errorf("the limit met is %q", got)
		}
		b.mustAcquire("b", 1, 0)
		b.wantPermits(4)
		for range 2 {
			a.mustRelease("", "a", 0)
			b.wantPermits(1)
		}
		wantReason(t, a.release("late", "a", 1), coordv1.Reason_REASON_NOT_FOUND)
		wantReason(t, a.release("late", "a", 1), coordv1.Reason_REASON_NOT_FOUND)
		b.wantPermits(1)
	})
}

func TestLimitsOfSemaphores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		wantReason(t, a.acquire("1", 1, 0), coordv1.Reason_REASON_NOT_FOUND)
		a.mustAcquire("2", 0, 5) // one permit
		b.wantPermits(1)
		info := wantReason(t, a.acquire("3", 1, 4), coordv1.Reason_REASON_MISMATCH)
		if info.GetMetadata()["value"] != "5" {
			t.Errorf("mismatch with %v", info.GetMetadata())
		}
		info = wantReason(t, a.acquire("4", 6, 0), coordv1.Reason_REASON_INVALID)
		if info.GetMetadata()["value"] != "5" {
			t.Errorf("above limit %v", info.GetMetadata())
		}
		waits := make(chan error, 1)
		go func() { waits <- b.acquire("5", 5, 0) }()
		if err := n.replica.AwaitWaiters(t.Context(), park.Object{Kind: park.KindSemaphore, Name: "s"}, 1); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := a.semaphores.Resize(t.Context(), &coordv1.ResizeRequest{
				Lease: a.lease, RequestId: "6", Name: "s", Limit: 4,
			}); err != nil {
				t.Fatal(err)
			}
		}
		info = wantReason(t, <-waits, coordv1.Reason_REASON_INVALID) // it no longer fits
		if info.GetMetadata()["value"] != "4" {
			t.Errorf("after a resize %v", info.GetMetadata())
		}
	})
}

func (p *plain) campaign(req *coordv1.CampaignRequest) (uint64, error) {
	req.Lease, req.Name = p.lease, "e"
	r, err := p.elections.Campaign(p.t.Context(), req)
	return r.GetTerm(), err
}

// wantLeader wants value's leader, or nobody if it is "".
func (p *plain) wantLeader(value string) *coordv1.GetLeaderResponse {
	p.t.Helper()
	r, err := p.elections.GetLeader(p.t.Context(), &coordv1.GetLeaderRequest{Name: "e"})
	if value == "" {
		wantReason(p.t, err, coordv1.Reason_REASON_NOT_FOUND)
		p.t.Log(status.Convert(err).Message())
	} else if err != nil || r.GetValue() != value {
		p.t.Errorf("%v leads (%v), not %s", r, err, value)
	}
	return r
}

func TestElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.wantLeader("")
		term, err := a.campaign(&coordv1.CampaignRequest{RequestId: "1", Value: "a:80"})
		if err != nil || term == 0 {
			t.Fatal(term, err)
		}
		if r := a.wantLeader("a:80"); r.GetTerm() != term || r.GetLeader().GetSessionId() != a.lease.GetSessionId() || r.GetIndex() == 0 {
			t.Errorf("term %d is led by %v", term, r)
		}
		proclaim := &coordv1.ProclaimRequest{Lease: a.lease, Leadership: "1", RequestId: "2", Value: "a:81"}
		for range 2 {
			if _, err := a.elections.Proclaim(t.Context(), proclaim); err != nil {
				t.Fatal(err)
			}
		}
		if r := a.wantLeader("a:81"); r.GetTerm() != term {
			t.Errorf("another term: %v", r)
		}
		transfer := &coordv1.TransferLeadershipRequest{
			Lease: a.lease, Leadership: "1", RequestId: "3", ToSessionId: b.lease.GetSessionId(),
		}
		_, err = a.elections.TransferLeadership(t.Context(), transfer)
		wantReason(t, err, coordv1.Reason_REASON_NOT_FOUND) // b does not wait
		led := make(chan got, 1)
		go func() {
			term, err := b.campaign(&coordv1.CampaignRequest{RequestId: "1", Value: "b:80"})
			led <- got{term, err}
		}()
		synctest.Wait()
		_, err = a.elections.TransferLeadership(t.Context(), transfer)
		wantReason(t, err, coordv1.Reason_REASON_NOT_FOUND) // a refusal is an answer too
		transfer.RequestId = "4"
		for range 2 {
			if _, err := a.elections.TransferLeadership(t.Context(), transfer); err != nil {
				t.Fatal(err)
			}
		}
		if g := <-led; g.err != nil || g.token <= term {
			t.Errorf("its successor has %v", g)
		}
		a.wantLeader("b:80")
		_, err = a.elections.Proclaim(t.Context(), &coordv1.ProclaimRequest{Lease: a.lease, Leadership: "1", RequestId: "5"})
		wantReason(t, err, coordv1.Reason_REASON_NOT_FOUND)
		for range 2 {
			if _, err := b.elections.Resign(t.Context(), &coordv1.ResignRequest{Lease: b.lease, Leadership: "1"}); err != nil {
				t.Fatal(err)
			}
		}
		a.wantLeader("")
	})
}

// A leader that failed is no leader, even while its lock-delay keeps others out.
func TestFailedLeaderIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlainFor(t, n.conn, 5*time.Second), openPlain(t, n.conn)
		if _, err := a.campaign(&coordv1.CampaignRequest{
			RequestId: "1", Value: "a", LockDelay: durationpb.New(10 * time.Second),
		}); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		time.Sleep(6 * time.Second)
		b.wantLeader("")
		if _, err := b.campaign(&coordv1.CampaignRequest{RequestId: "1", Value: "b"}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d < 15*time.Second || d > 16*time.Second {
			t.Errorf("succeeded after %v", d)
		}
		b.wantLeader("b")
	})
}

func TestStaleLeaderIsThisNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		if _, err := p.campaign(&coordv1.CampaignRequest{RequestId: "1", Value: "a"}); err != nil {
			t.Fatal(err)
		}
		n.engine.follow("n2") // which cannot be reached
		r, err := p.elections.GetLeader(t.Context(), &coordv1.GetLeaderRequest{Name: "e", Stale: true})
		if err != nil || r.GetValue() != "a" {
			t.Errorf("%v, %v", r, err)
		}
		_, err = p.elections.GetLeader(t.Context(), &coordv1.GetLeaderRequest{Name: "e"})
		wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
		_, err = p.elections.GetLeader(t.Context(), &coordv1.GetLeaderRequest{Stale: true})
		wantReason(t, err, coordv1.Reason_REASON_INVALID)
	})
}

package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/park"
)

func (p *plain) add(id string, delta int32) (int64, error) {
	r, err := p.waitGroups.Add(p.t.Context(), &coordv1.AddRequest{Lease: p.lease, RequestId: id, Name: "g", Delta: delta})
	return r.GetCount(), err
}

// wantCount adds, and wants the counter to be count then.
func (p *plain) wantCount(id string, delta int32, count int64) {
	p.t.Helper()
	if got, err := p.add(id, delta); err != nil || got != count {
		p.t.Errorf("add %d: %d, not %d: %v", delta, got, count, err)
	}
}

func (p *plain) waitGroup(id string, try bool) error {
	_, err := p.waitGroups.Wait(p.t.Context(), &coordv1.WaitRequest{Lease: p.lease, RequestId: id, Name: "g", Try: try})
	return err
}

func TestWaitGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		for range 3 {
			a.wantCount("1", 2, 2)
		}
		n.wantSays(b.waitGroup("try", true), coordv1.Reason_REASON_BUSY,
			"wait for g: would wait: it counts 2; ask again, or without try, under another request_id")
		waits := make(chan error, 1)
		go func() { waits <- b.waitGroup("1", false) }()
		if err := n.replica.AwaitWaiters(t.Context(), park.Object{Kind: park.KindWaitGroup, Name: "g"}, 1); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			a.wantCount("2", -1, 1)
		}
		a.wantCount("3", -1, 0)
		if err := <-waits; err != nil {
			t.Error(err)
		}
		a.wantCount("4", 1, 1)
		if err := b.waitGroup("1", false); err != nil {
			t.Errorf("a retry, of a later round: %v", err)
		}
		_, err := a.add("5", -2)
		if got := n.wantSays(err, coordv1.Reason_REASON_INVALID,
			"add to g: the counter is 1, and it would be negative; settle no more than was added, under another request_id"); got["value"] != "1" {
			t.Errorf("metadata %v", got)
		}
	})
}

// Who dies before its Done cuts the group.
func TestCutWaitGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlainFor(t, n.conn, 10*time.Second)
		b.wantCount("1", 1, 1)
		if err := a.delete("early", coordv1.Kind_KIND_WAIT_GROUP, "g"); infoOf(err).GetReason() != "BUSY" {
			t.Errorf("deleted while it counts: %v", err)
		}
		const says = "wait for g: the count is zero because a session ended before it had settled what it added; " +
			"find out what was left undone, and begin a round of another name"
		n.wantSays(a.waitGroup("1", false), coordv1.Reason_REASON_CUT_SHORT, says) // after b's session
		n.wantSays(a.waitGroup("1", false), coordv1.Reason_REASON_CUT_SHORT, says)
		if err := a.delete("late", coordv1.Kind_KIND_WAIT_GROUP, "g"); err != nil {
			t.Fatal(err)
		}
		if err := a.waitGroup("2", true); err != nil {
			t.Errorf("once it is deleted: %v", err)
		}
	})
}

func (p *plain) begin(req *coordv1.BeginRequest) (*coordv1.BeginResponse, error) {
	req.Lease, req.Name = p.lease, "o"
	return p.onces.Begin(p.t.Context(), req)
}

func (p *plain) complete(req *coordv1.CompleteRequest) error {
	req.Lease = p.lease
	_, err := p.onces.Complete(p.t.Context(), req)
	return err
}

func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		first, err := a.begin(&coordv1.BeginRequest{RequestId: "1"})
		if err != nil || first.GetToken() == 0 || first.GetEnd() != 0 {
			t.Fatal(first, err)
		}
		again, err := a.begin(&coordv1.BeginRequest{RequestId: "1"})
		if err != nil || again.GetToken() != first.GetToken() {
			t.Errorf("on the retry %v, %v", again, err)
		}
		_, err = b.begin(&coordv1.BeginRequest{RequestId: "try", Try: true})
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
		if d, _ := detail[*coordv1.Description](err); len(d.GetHolders()) != 1 {
			t.Errorf("it is run by %v", d)
		}
		for range 2 {
			if _, err := a.onces.Abandon(t.Context(), &coordv1.AbandonRequest{Lease: a.lease, Run: "1"}); err != nil {
				t.Fatal(err)
			}
		}
		wantReason(t, a.complete(&coordv1.CompleteRequest{Run: "1", RequestId: "late"}), coordv1.Reason_REASON_NOT_FOUND)
		second, err := b.begin(&coordv1.BeginRequest{RequestId: "1"})
		if err != nil || second.GetToken() <= first.GetToken() {
			t.Fatalf("the second runner has %v after %v: %v", second, first, err)
		}
		told := make(chan *coordv1.BeginResponse, 1)
		go func() {
			r, err := a.begin(&coordv1.BeginRequest{RequestId: "2", ResultOnly: true})
			if err != nil {
				t.Error(err)
			}
			told <- r
		}()
		synctest.Wait()
		if err := a.delete("used", coordv1.Kind_KIND_ONCE, "o"); infoOf(err).GetReason() != "BUSY" {
			t.Errorf("deleted while it runs: %v", err)
		}
		for range 2 {
			if err := b.complete(&coordv1.CompleteRequest{Run: "1", RequestId: "3", Result: []byte("42")}); err != nil {
				t.Fatal(err)
			}
		}
		if r := <-told; string(r.GetResult()) != "42" || r.GetEnd() != coordv1.OnceEnd_ONCE_END_RETURNED || r.GetToken() != 0 {
			t.Errorf("told %v", r)
		}
		for range 2 {
			r, err := a.begin(&coordv1.BeginRequest{RequestId: "4"})
			if err != nil || string(r.GetResult()) != "42" || r.GetToken() != 0 {
				t.Errorf("later %v, %v", r, err)
			}
		}
	})
}

func TestPanickedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		if _, err := p.begin(&coordv1.BeginRequest{RequestId: "1"}); err != nil {
			t.Fatal(err)
		}
		if err := p.complete(&coordv1.CompleteRequest{
			Run: "1", RequestId: "2", Result: []byte("boom"), End: coordv1.OnceEnd_ONCE_END_PANICKED,
		}); err != nil {
			t.Fatal(err)
		}
		r, err := p.begin(&coordv1.BeginRequest{RequestId: "3"})
		if err != nil || r.GetEnd() != coordv1.OnceEnd_ONCE_END_PANICKED || string(r.GetResult()) != "boom" {
			t.Errorf("%v, %v", r, err)
		}
	})
}

package server_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

// plain is a session without a stream, and what its program would remember.
type plain struct {
	t          *testing.T
	lease      *coordv1.Lease
	sessions   coordv1.SessionServiceClient
	locks      coordv1.LockServiceClient
	semaphores coordv1.SemaphoreServiceClient
	elections  coordv1.ElectionServiceClient
	channels   coordv1.ChannelServiceClient
	waitGroups coordv1.WaitGroupServiceClient
	onces      coordv1.OnceServiceClient
	conds      coordv1.CondServiceClient
	maps       coordv1.MapServiceClient
	selects    coordv1.SelectServiceClient
	objects    coordv1.ObjectServiceClient
}

// openPlain opens a session that outlives every test but those of expiry.
func openPlain(t *testing.T, conn grpc.ClientConnInterface) *plain {
	t.Helper()
	return openPlainFor(t, conn, time.Hour)
}

func openPlainFor(t *testing.T, conn grpc.ClientConnInterface, ttl time.Duration) *plain {
	t.Helper()
	p := (&plain{t: t}).via(conn)
	opened, err := p.sessions.OpenSession(t.Context(), &coordv1.OpenSessionRequest{
		Ttl: durationpb.New(ttl),
		Who: &coordv1.Who{Name: "billing", Metadata: map[string]string{"host": "host-a", "pid": "812"}},
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	p.lease = opened.GetLease()
	return p
}

// via is the same session over another connection.
func (p *plain) via(conn grpc.ClientConnInterface) *plain {
	return &plain{
		t: p.t, lease: p.lease,
		sessions:   coordv1.NewSessionServiceClient(conn),
		locks:      coordv1.NewLockServiceClient(conn),
		semaphores: coordv1.NewSemaphoreServiceClient(conn),
		elections:  coordv1.NewElectionServiceClient(conn),
		channels:   coordv1.NewChannelServiceClient(conn),
		waitGroups: coordv1.NewWaitGroupServiceClient(conn),
		onces:      coordv1.NewOnceServiceClient(conn),
		conds:      coordv1.NewCondServiceClient(conn),
		maps:       coordv1.NewMapServiceClient(conn),
		selects:    coordv1.NewSelectServiceClient(conn),
		objects:    coordv1.NewObjectServiceClient(conn),
	}
}

func (p *plain) lock(ctx context.Context, id string, names ...string) (uint64, error) {
	r, err := p.locks.Lock(ctx, &coordv1.LockRequest{Lease: p.lease, RequestId: id, Names: names})
	return r.GetToken(), err
}

// try is lock without waiting.
func (p *plain) try(id string, names ...string) (uint64, error) {
	r, err := p.locks.Lock(p.t.Context(), &coordv1.LockRequest{Lease: p.lease, RequestId: id, Names: names, Try: true})
	return r.GetToken(), err
}

// mustLock is lock that has it.
func (p *plain) mustLock(id string, names ...string) uint64 {
	p.t.Helper()
	token, err := p.lock(p.t.Context(), id, names...)
	if err != nil {
		p.t.Fatalf("lock %v: %v", names, err)
	}
	return token
}

func (p *plain) mustUnlock(id string) {
	p.t.Helper()
	if _, err := p.locks.Unlock(p.t.Context(), &coordv1.UnlockRequest{Lease: p.lease, RequestId: id}); err != nil {
		p.t.Fatalf("unlock %s: %v", id, err)
	}
}

func (p *plain) cancel(id string) {
	p.t.Helper()
	if _, err := p.sessions.CancelCall(p.t.Context(), &coordv1.CancelCallRequest{Lease: p.lease, RequestId: id}); err != nil {
		p.t.Fatalf("cancel %s: %v", id, err)
	}
}

// got is what an RPC under way came to.
type got struct {
	token uint64
	err   error
}

// goLock is lock under way.
func (p *plain) goLock(id string, names ...string) <-chan got {
	done := make(chan got, 1)
	go func() {
		token, err := p.lock(p.t.Context(), id, names...)
		done <- got{token, err}
	}()
	return done
}

// parked is goLock once it is parked here.
func (n *node) parked(p *plain, id, name string) <-chan got {
	n.t.Helper()
	before := int(n.replica.State().Counts.Waiters)
	done := p.goLock(id, name)
	if err := n.replica.AwaitWaiters(n.t.Context(), lockNamed(name), before+1); err != nil {
		n.t.Fatal(err)
	}
	return done
}

func (n *node) wantCounts(holds, waiters int64) {
	n.t.Helper()
	if c := n.replica.State().Counts; c.Holds != holds || c.Waiters != waiters {
		n.t.Errorf("%d hold and %d wait, not %d and %d", c.Holds, c.Waiters, holds, waiters)
	}
}

func TestRetriesOfALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		token := a.mustLock("l1", "x")
		if token == 0 {
			t.Error("no token")
		}
		if again := a.mustLock("l1", "x"); again != token {
			t.Errorf("held: token %d, and on the retry %d", token, again)
		}
		first := n.parked(b, "l1", "x") // ids are each session's own
		second := b.goLock("l1", "x")
		synctest.Wait()
		n.wantCounts(1, 1)
		a.mustUnlock("l1")
		one, two := <-first, <-second
		if one.err != nil || one != two || one.token <= token {
			t.Errorf("parked: %v, and on the retry %v, after token %d", one, two, token)
		}
		n.wantCounts(1, 0)
		a.mustUnlock("l1")
		_, err := a.lock(t.Context(), "l1", "x")
		wantReason(t, err, coordv1.Reason_REASON_CALL_OVER)
		b.mustUnlock("l1")
		n.wantCounts(0, 0)
	})
}

func TestSeveralLocksInOneStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("1", "b")
		both := b.goLock("1", "c", "b", "a")
		synctest.Wait()
		n.wantCounts(1, 1)
		_, err := a.try("2", "a") // b holds nothing, and is not overtaken
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
		a.mustUnlock("1")
		if g := <-both; g.err != nil || g.token == 0 {
			t.Error(g)
		}
		n.wantCounts(1, 0)
		_, err = a.try("3", "c")
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
	})
}

func TestReadersHaveNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		for range 2 {
			p := openPlain(t, n.conn)
			r, err := p.locks.Lock(t.Context(), &coordv1.LockRequest{
				Lease: p.lease, RequestId: "r", Names: []string{"x"}, Shared: true,
			})
			if err != nil || r.GetToken() != 0 {
				t.Errorf("%v, %v", r, err)
			}
		}
		n.wantCounts(2, 0)
	})
}

func TestBusyNamesTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		held, err := a.locks.Lock(t.Context(), &coordv1.LockRequest{
			Lease: a.lease, RequestId: "1", Names: []string{"deploy"}, Note: "release 7",
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		n.parked(b, "1", "deploy")
		_, err = b.try("2", "deploy")
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
		const want = "lock deploy: would wait: held 2m0s by host-a pid 812 (release 7), 1 ahead; " +
			"ask again, or without try, under another request_id"
		if got := status.Convert(err).Message(); got != want {
			t.Errorf("says %q", got)
		}
		d, _ := detail[*coordv1.Description](err)
		if h := d.GetHolders(); len(h) != 1 || h[0].GetToken() != held.GetToken() || d.GetWaiting() != 1 {
			t.Errorf("describes %v", d)
		}
		_, err = b.try("2", "deploy") // a retry has the answer that there was
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
		a.mustUnlock("1")
		_, err = b.try("2", "deploy")
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
	})
}

// The span under which a program asks is its hold's: whoever waits finds it there.
func TestTraceOfTheRPCIsItsHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, traced(tracetest.NewSpanRecorder()))
		n.engine.lead()
		synctest.Wait()
		p := openPlain(t, n.conn)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent)
		if _, err := p.lock(ctx, "1", "x"); err != nil {
			t.Fatal(err)
		}
		_, err := p.try("2", "x")
		d, _ := detail[*coordv1.Description](err)
		if h := d.GetHolders(); len(h) != 1 || "00-"+h[0].GetTraceId() != traceparent[:35] {
			t.Errorf("held by %v", h)
		}
	})
}

// detail is the status detail of a type.
func detail[M any](err error) (M, bool) {
	for _, d := range status.Convert(err).Details() {
		if m, ok := d.(M); ok {
			return m, true
		}
	}
	var none M
	return none, false
}

func TestWaitLimitIsOfTheClusterClock(t *testing.T) {
	for name, test := range map[string]struct {
		limit *durationpb.Duration
		want  time.Duration
	}{
		"given":      {durationpb.New(5 * time.Second), 5 * time.Second},
		"not given":  {nil, 30 * time.Second},
		"given as 0": {durationpb.New(0), 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				a, b := openPlain(t, n.conn), openPlain(t, n.conn)
				a.mustLock("1", "x")
				begin := time.Now()
				req := &coordv1.LockRequest{Lease: b.lease, RequestId: "1", Names: []string{"x"}, WaitLimit: test.limit}
				_, err := b.locks.Lock(t.Context(), req)
				wantReason(t, err, coordv1.Reason_REASON_TIMED_OUT)
				if d := time.Since(begin); d < test.want || d > test.want+time.Second {
					t.Errorf("after %v", d)
				}
				a.mustUnlock("1")
				again := time.Now()
				_, err = b.locks.Lock(t.Context(), req)
				wantReason(t, err, coordv1.Reason_REASON_TIMED_OUT)
				if d := time.Since(again); d > time.Second {
					t.Errorf("the retry after %v", d)
				}
				b.mustLock("2", "x")
			})
		})
	}
}

func TestEndedRPCLeavesItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("1", "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.lock(ctx, "1", "x"); ctx.Err() == nil {
			t.Fatalf("before its end: %v", err)
		}
		synctest.Wait()
		n.wantCounts(1, 1)
		a.mustUnlock("1")
		n.wantCounts(1, 0) // nobody asks, and it is had all the same
		if b.mustLock("1", "x") == 0 {
			t.Error("no token")
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		b.cancel("early") // it overtook its call
		_, err := b.lock(t.Context(), "early", "x")
		wantReason(t, err, coordv1.Reason_REASON_CALL_OVER)
		a.mustLock("1", "x")
		waits := n.parked(b, "1", "x")
		b.cancel("1")
		wantReason(t, (<-waits).err, coordv1.Reason_REASON_CALL_OVER)
		n.wantCounts(1, 0)
		b.cancel("1")
		a.cancel("1") // of a hold it is Unlock
		a.cancel("1")
		n.wantCounts(0, 0)
	})
}

func TestEndOfTheSessionEndsItsCalls(t *testing.T) {
	ends := map[string]struct {
		end     func(*plain) error
		revoked bool
	}{
		"closed": {end: func(p *plain) error {
			_, err := p.sessions.CloseSession(p.t.Context(), &coordv1.CloseSessionRequest{Lease: p.lease})
			return err
		}},
		"expired": {end: func(p *plain) error { time.Sleep(11 * time.Second); return nil }},
		"revoked": {revoked: true, end: func(p *plain) error {
			_, err := p.sessions.RevokeSession(p.t.Context(),
				&coordv1.RevokeSessionRequest{SessionId: p.lease.GetSessionId(), Now: true})
			return err
		}},
	}
	for name, test := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				a, b := openPlain(t, n.conn), openPlainFor(t, n.conn, 10*time.Second)
				a.mustLock("1", "x")
				waits := n.parked(b, "1", "x")
				b.mustLock("2", "y")
				if err := test.end(b); err != nil {
					t.Fatal(err)
				}
				info := wantReason(t, (<-waits).err, coordv1.Reason_REASON_SESSION_OVER)
				if revoked := info.GetMetadata()["revoked"] == "true"; revoked != test.revoked {
					t.Errorf("revoked: %v", revoked)
				}
				n.wantCounts(1, 0)
				_, err := b.lock(t.Context(), "2", "y")
				wantReason(t, err, coordv1.Reason_REASON_SESSION_OVER)
				_, err = b.locks.Unlock(t.Context(), &coordv1.UnlockRequest{Lease: b.lease, RequestId: "2"})
				wantReason(t, err, coordv1.Reason_REASON_SESSION_OVER)
				if _, err := b.sessions.CloseSession(t.Context(), &coordv1.CloseSessionRequest{Lease: b.lease}); err != nil {
					t.Errorf("close again: %v", err)
				}
			})
		})
	}
}

// Revoked without force, a session is refused renewal, and what it waits for it still gets.
func TestRevokedSessionLearnsItByRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("1", "x")
		waits := n.parked(b, "1", "x")
		if _, err := n.api.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: b.lease.GetSessionId()}); err != nil {
			t.Fatal(err)
		}
		a.mustUnlock("1")
		if g := <-waits; g.err != nil || g.token == 0 { // a recall is no answer
			t.Error(g)
		}
		r, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{a.lease, b.lease}})
		if err != nil || r.GetRenewals()[0] != coordv1.Renewal_RENEWAL_RENEWED || r.GetRenewals()[1] != coordv1.Renewal_RENEWAL_REVOKED {
			t.Errorf("%v, %v", r, err)
		}
		b.mustUnlock("1")
	})
}

func TestOpenSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		opened, err := n.api.OpenSession(t.Context(), &coordv1.OpenSessionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if ttl := opened.GetTtl().AsDuration(); ttl != 10*time.Second || len(opened.GetLease().GetSecret()) != 16 {
			t.Errorf("opened %v for %v", opened, ttl)
		}
		other, err := n.api.OpenSession(t.Context(), &coordv1.OpenSessionRequest{})
		if err != nil || string(other.GetLease().GetSecret()) == string(opened.GetLease().GetSecret()) {
			t.Errorf("a second: %v, %v", other, err)
		}
		thief := openPlain(t, n.conn)
		thief.lease.Secret = other.GetLease().GetSecret()
		_, err = thief.lock(t.Context(), "1", "x")
		wantReason(t, err, coordv1.Reason_REASON_NOT_YOURS)
		// The calls of a session with a stream go over that.
		streamed := open(t, n.api, 1)
		thief.lease = streamed.lease()
		_, err = thief.lock(t.Context(), "1", "x")
		wantReason(t, err, coordv1.Reason_REASON_NOT_YOURS)
		_, err = n.api.CloseSession(t.Context(), &coordv1.CloseSessionRequest{Lease: thief.lease})
		wantReason(t, err, coordv1.Reason_REASON_NOT_YOURS)
		streamed.want(streamed.send(noop()), coordv1.Code_CODE_DONE)
	})
}

func TestRequestIDIsOfOneKindOfCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		p.mustLock("1", "x")
		_, err := p.semaphores.Resize(t.Context(), &coordv1.ResizeRequest{Lease: p.lease, RequestId: "1", Name: "s", Limit: 3})
		wantReason(t, err, coordv1.Reason_REASON_INVALID)
		if n.replica.State().Counts.Holds != 1 {
			t.Error("it is not held any more")
		}
	})
}

package server_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConfigFaultsAreJoined(t *testing.T) {
	_, err := server.New(server.Config{})
	for _, fault := range []string{"Replica", "Log", "NodeID", "ClusterID", "Locate", "Dial"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q does not name %s", err, fault)
		}
	}
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		api := coordv1.NewClusterServiceClient(n.conn)
		before, err := api.Status(t.Context(), &coordv1.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if before.GetReady() || before.GetNotReadyReason() == "" {
			t.Errorf("without a leader: %v", before)
		}
		n.engine.lead()
		synctest.Wait()
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		b.send(lockOp("x"))
		synctest.Wait()
		got, err := api.Status(t.Context(), &coordv1.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		want := &coordv1.StatusResponse{
			ClusterId: "c1", NodeId: "n1", NodeName: "one", Version: "test", Engine: "fake",
			Term: 1, LeaderId: "n1", LeaderAddress: "addr-n1", Leading: true, Ready: true,
			AppliedIndex: n.replica.Index(), Clock: got.GetClock(), StateHash: n.replica.Hash(),
			Members: []*coordv1.Member{{Id: "n1", PeerAddress: "peer1", ClientAddress: "addr-n1", Voter: true, Leader: true}},
			Counts:  &coordv1.Counts{Sessions: 2, Holds: 1, Waiters: 1},
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSessionsAreListedAndRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		a.send(lockOp("x"))
		synctest.Wait()
		time.Sleep(time.Second)
		list, err := n.api.ListSessions(t.Context(), &coordv1.ListSessionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		want := []*coordv1.Session{{
			SessionId: a.id, Who: &coordv1.Who{Name: "test"}, Holds: 1, Waits: 1,
			Ttl: durationpb.New(testTTL), Remaining: durationpb.New(testTTL - time.Second),
		}}
		if diff := cmp.Diff(want, list.GetSessions(), protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if _, err := n.api.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: a.id, Now: true}); err != nil {
			t.Fatal(err)
		}
		_, err = n.api.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: a.id})
		wantReason(t, err, coordv1.Reason_REASON_NOT_FOUND)
		_, err = n.api.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{})
		wantReason(t, err, coordv1.Reason_REASON_INVALID)
	})
}

func TestUnaryFaults(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		reason coordv1.Reason
	}{
		"unknown":    {raftstore.ErrUnknown, coordv1.Reason_REASON_UNKNOWN_OUTCOME},
		"not leader": {raftstore.ErrNotLeader, coordv1.Reason_REASON_NO_LEADER},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				a := open(t, n.api, 1)
				n.engine.failNext(test.err)
				_, err := n.api.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: a.id})
				wantReason(t, err, test.reason)
			})
		})
	}
}

// What changes nothing, or has a request id, may always be asked again: only three calls have
// an unknown outcome, and say what to do about it.
func TestUnknownOutcomeIsOfThreeCalls(t *testing.T) {
	const kind, name = coordv1.Kind_KIND_ELECTION, "x"
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		look := coordv1.NewInspectServiceClient(n.conn)
		ctx := t.Context()
		calls := map[string]struct {
			next string // "" if it may be asked again
			ask  func() error
		}{
			"open": {"open another: one that was opened expires", func() error {
				_, err := n.api.OpenSession(ctx, &coordv1.OpenSessionRequest{})
				return err
			}},
			"renew": {"renew again", func() error {
				_, err := n.api.Renew(ctx, &coordv1.RenewRequest{Leases: []*coordv1.Lease{p.lease}})
				return err
			}},
			"revoke": {"list the sessions, and revoke it again if it is there and not revoked", func() error {
				_, err := n.api.RevokeSession(ctx, &coordv1.RevokeSessionRequest{SessionId: p.lease.GetSessionId()})
				return err
			}},
			"list sessions": {"", func() error {
				_, err := n.api.ListSessions(ctx, &coordv1.ListSessionsRequest{})
				return err
			}},
			"list objects": {"", func() error {
				_, err := look.ListObjects(ctx, &coordv1.ListObjectsRequest{})
				return err
			}},
			"describe": {"", func() error {
				_, err := look.DescribeObject(ctx, &coordv1.DescribeObjectRequest{Kind: kind, Name: name})
				return err
			}},
			"explain": {"", func() error {
				_, err := look.ExplainObject(ctx, &coordv1.ExplainObjectRequest{Kind: kind, Name: name})
				return err
			}},
			"leader": {"", func() error {
				_, err := p.elections.GetLeader(ctx, &coordv1.GetLeaderRequest{Name: name})
				return err
			}},
			"watch": {"", func() error {
				w, err := look.Watch(ctx, &coordv1.WatchRequest{Kind: kind, Name: name})
				if err == nil {
					_, err = w.Recv()
				}
				return err
			}},
		}
		for what, call := range calls {
			n.engine.failNext(raftstore.ErrUnknown)
			err := call.ask()
			time.Sleep(time.Second) // the log tries its term again
			if call.next == "" {
				wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
				continue
			}
			wantReason(t, err, coordv1.Reason_REASON_UNKNOWN_OUTCOME)
			if message := status.Convert(err).Message(); !strings.HasSuffix(message, "; "+call.next) {
				t.Errorf("%s says %q", what, message)
			}
		}
	})
}

func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		wait := lockOp("x")
		wait.GetWait().Note = "why"
		held := a.send(wait)
		token := a.want(held, coordv1.Code_CODE_GRANTED).GetToken()
		time.Sleep(time.Second)
		try := lockOp("x")
		try.GetWait().Try = true
		got := b.want(b.send(try), coordv1.Code_CODE_BUSY).GetDescription()
		want := &coordv1.Description{
			Kind: coordv1.Kind_KIND_LOCK, Name: "x", Index: n.replica.Index(),
			Holders: []*coordv1.Party{{
				SessionId: a.id, Who: &coordv1.Who{Name: "test"}, Note: "why", Token: token, Count: 1,
				For: durationpb.New(time.Second), Renewed: durationpb.New(time.Second), Ttl: durationpb.New(10 * time.Second),
			}},
			Revision: 1,
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		b.send(lockOp("x"))
		describe := b.send(&coordv1.Op{Op: &coordv1.Op_Describe{Describe: &coordv1.Describe{Kind: coordv1.Kind_KIND_LOCK, Name: "x"}}})
		got = b.want(describe, coordv1.Code_CODE_DONE).GetDescription()
		want = proto.CloneOf(want)
		want.Index, want.Waiting = n.replica.Index(), 1
		want.Waiters = []*coordv1.Party{{
			SessionId: b.id, Who: &coordv1.Who{Name: "test"}, Count: 1, For: durationpb.New(0),
			Renewed: durationpb.New(time.Second), Ttl: durationpb.New(10 * time.Second),
		}}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHealthFollowsReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		api := healthv1.NewHealthClient(n.conn)
		check := func(service string, want healthv1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			synctest.Wait()
			got, err := api.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || got.GetStatus() != want {
				t.Errorf("%q is %v, %v; not %v", service, got, err, want)
			}
		}
		const cluster = "coord.v1.ClusterService"
		services := append(protocolServices(t), "")
		checkAll := func(want healthv1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			for _, service := range services {
				if service != cluster {
					check(service, want)
				}
			}
			check(cluster, healthv1.HealthCheckResponse_SERVING)
		}
		checkAll(healthv1.HealthCheckResponse_NOT_SERVING)
		n.engine.lead()
		checkAll(healthv1.HealthCheckResponse_SERVING)
		n.engine.set(func(s *raftstore.State) { s.CaughtUp = false })
		checkAll(healthv1.HealthCheckResponse_NOT_SERVING)
	})
}

// protocolServices are all services that the protocol has: one that is added is to have
// its health too.
func protocolServices(t *testing.T) (names []string) {
	t.Helper()
	protoregistry.GlobalFiles.RangeFilesByPackage("coord.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			names = append(names, string(f.Services().Get(i).FullName()))
		}
		return true
	})
	if len(names) < 2 {
		t.Fatalf("services %q", names)
	}
	return names
}

func TestStopEndsWatchesOfHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		watch, err := healthv1.NewHealthClient(n.conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := watch.Recv(); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Fatalf("got %v, %v", got, err)
		}
		begin := time.Now()
		if err := n.server.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("stopped after %v", d)
		}
	})
}

func TestReflectionListsServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := reflectionv1.NewServerReflectionClient(n.conn).ServerReflectionInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
		}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got.GetListServicesResponse().GetService()); n < 4 {
			t.Errorf("%d services", n)
		}
	})
}

func TestStopCutsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		silent, err := n.api.Attach(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begin := time.Now()
		if err := n.server.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("stopped after %v", d)
		}
		a.wantEnd(coordv1.Reason_REASON_STOPPING)
		_, err = silent.Recv()
		wantReason(t, err, coordv1.Reason_REASON_STOPPING)
		if n.server.Ready() == nil {
			t.Error("ready")
		}
		if _, err := n.api.ListSessions(t.Context(), &coordv1.ListSessionsRequest{}); status.Code(err) != codes.Unavailable {
			t.Errorf("served after stop: %v", err)
		}
	})
}

func TestStopHandsLeadershipOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		n.engine.mu.Lock()
		n.engine.members = append(n.engine.members, raftstore.Member{ID: "n2", Voter: true})
		n.engine.mu.Unlock()
		if err := n.server.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if l, _ := n.log.Leadership(); l.LeaderID != "n2" {
			t.Errorf("leadership is %+v", l)
		}
		if _, err := a.recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("stream ended with %v", err)
		}
	})
}

// A client that does not read cannot hold a stop up for longer than its ctx.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		for range 10 {
			ops := make([]*coordv1.Op, 16<<10)
			for i := range ops {
				ops[i] = noop()
			}
			a.send(ops...)
		}
		synctest.Wait() // the handler is blocked in Send
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := n.server.Stop(ctx); err == nil {
			t.Error("no call was left")
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("stopped after %v", d)
		}
	})
}

package server_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

func TestFollowersPassCallsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		follower := c.api((leader + 1) % 3)
		direct := open(t, c.api(leader), 1)
		a := open(t, follower, 2)
		held := a.send(lockOp("x"))
		a.want(held, coordv1.Code_CODE_GRANTED)
		waiting := direct.send(lockOp("x"))
		if err := c.nodes[leader].replica.AwaitWaiters(t.Context(), lockNamed("x"), 1); err != nil {
			t.Fatal(err)
		}
		a.send(endOp(held))
		direct.want(waiting, coordv1.Code_CODE_GRANTED)

		renewed, err := follower.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{a.lease(), direct.lease()}})
		if err != nil || renewed.GetRenewals()[1] != coordv1.Renewal_RENEWAL_RENEWED {
			t.Errorf("renewal: %v, %v", renewed, err)
		}
		list, err := follower.ListSessions(t.Context(), &coordv1.ListSessionsRequest{})
		if err != nil || len(list.GetSessions()) != 2 {
			t.Errorf("sessions: %v, %v", list, err)
		}
		_, err = follower.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: 77})
		wantReason(t, err, coordv1.Reason_REASON_NOT_FOUND)
		old := *a
		if _, err := a.attach(&coordv1.Attach{SessionId: a.id}); err != nil {
			t.Fatal(err)
		}
		old.wantEnd(coordv1.Reason_REASON_OLD_EPOCH)
	})
}

func TestCallIsPassedOnOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		passed := func(node int) coordv1.SessionServiceClient {
			conn := c.dialAt(c.nodes[node].id + ":7603")
			c.conns = append(c.conns, conn)
			return coordv1.NewSessionServiceClient(conn)
		}
		_, err := passed((leader+1)%3).ListSessions(t.Context(), &coordv1.ListSessionsRequest{})
		info := wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
		if hint := info.GetMetadata()["leader"]; hint != c.nodes[leader].id+":7600" {
			t.Errorf("hint is %q", hint)
		}
		if _, err := passed(leader).ListSessions(t.Context(), &coordv1.ListSessionsRequest{}); err != nil {
			t.Error(err)
		}
	})
}

func TestForwardedStreamEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := c.api((leader + 1) % 3).Attach(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Attach{Attach: &coordv1.Attach{
			Secret: make([]byte, 16), Instance: 1, Epoch: 1, Ttl: durationpb.New(testTTL),
		}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait() // and at the end no goroutine may be left
		if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
			t.Errorf("ended with %v", err)
		}
	})
}

// The leader vanishes, and no connection breaks: who passed calls on to it must not wait
// for it.
func TestVanishedLeaderCutsForwardedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		a := open(t, c.api((leader+1)%3), 1)
		held := a.send(lockOp("x"))
		a.want(held, coordv1.Code_CODE_GRANTED)
		c.network.Isolate(c.nodes[leader].id)
		begin := time.Now()
		a.wantEnd(coordv1.Reason_REASON_NO_LEADER)
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("cut after %v", d)
		}
		if _, err := a.attach(&coordv1.Attach{
			SessionId: a.id, Wanted: []*coordv1.SeqRange{{First: held, Last: held}},
		}); err != nil {
			t.Fatal(err)
		}
		a.want(held, coordv1.Code_CODE_GRANTED)
	})
}

func TestStoppedFollowerCutsForwardedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		follower := (c.leader() + 1) % 3
		a := open(t, c.api(follower), 1)
		begin := time.Now()
		c.stopMember(c.nodes[follower])
		a.wantEnd(coordv1.Reason_REASON_STOPPING)
		if d := time.Since(begin); d > 100*time.Millisecond {
			t.Errorf("stopped after %v", d)
		}
	})
}

// A node that leads again at another time is reached again at once.
func TestFormerLeaderIsDialledAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		first := c.leader()
		other := (first + 1) % 3
		api := c.api(other)
		if _, err := api.ListSessions(t.Context(), &coordv1.ListSessionsRequest{}); err != nil {
			t.Fatal(err)
		}
		n := c.crash(first)
		time.Sleep(5 * time.Second) // its address does not answer meanwhile
		c.nodes[first] = c.startMember(n.id, n.disk)
		for leader := c.leader(); leader != first; leader = c.leader() {
			c.network.Isolate(c.nodes[leader].id) // one of the others wins, by chance
			time.Sleep(2 * time.Second)
			c.network.Heal()
			time.Sleep(time.Second)
		}
		if _, err := api.ListSessions(t.Context(), &coordv1.ListSessionsRequest{}); err != nil {
			t.Error(err)
		}
	})
}

package server_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// A session that renews in time lives, however much waits to be committed: the entries
// before its renewal carry the clock past its lease (SEMANTICS A3).
func TestRenewalsOvertakeTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(_ *server.Config, c *raftstore.Config) { c.MaxEntryBytes = 1 })
		n.engine.lead()
		synctest.Wait()
		const ttl, pace, entries = 2 * time.Second, 50 * time.Millisecond, 160
		c := &client{t: t, api: n.api, instance: 7}
		if _, err := c.attach(&coordv1.Attach{Ttl: durationpb.New(ttl)}); err != nil {
			t.Fatal(err)
		}
		n.engine.slow(pace)
		for range entries {
			frame := machine.AppendCommand(nil, &machine.Frame{Session: 999, Epoch: 1})
			n.log.Submit(frame, raftstore.Ordinary, nil)
		}
		for began := time.Now(); time.Since(began) < 2*ttl; time.Sleep(ttl / 3) {
			r, err := n.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{c.lease()}})
			if err != nil || r.GetRenewals()[0] != coordv1.Renewal_RENEWAL_RENEWED {
				t.Fatalf("after %v: %v, %v", time.Since(began), r, err)
			}
		}
		if n.replica.Index() > entries {
			t.Error("the queue was not long enough to tell")
		}
		n.engine.slow(0)
	})
}

// A revoker is a leader that is cut off from the follower once it has the call.
type revoker struct {
	coordv1.UnimplementedSessionServiceServer
	got chan struct{}
}

func (r *revoker) RevokeSession(ctx context.Context, _ *coordv1.RevokeSessionRequest) (*coordv1.RevokeSessionResponse, error) {
	close(r.got)
	<-ctx.Done()
	return nil, ctx.Err()
}

// Of a call that was passed on and cut off nobody knows whether it was carried out, so
// that it must not be told as one that never was.
func TestForwardedCallThatIsCutIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := bufconn.Listen(1 << 16)
		leader := &revoker{got: make(chan struct{})}
		g := grpc.NewServer()
		coordv1.RegisterSessionServiceServer(g, leader)
		go func() { _ = g.Serve(lis) }()
		defer g.Stop()
		n := start(t, func(c *server.Config, _ *raftstore.Config) {
			c.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }
		})
		n.engine.follow("n2")
		synctest.Wait()
		told := make(chan error)
		go func() {
			_, err := n.api.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: 5, Now: true})
			told <- err
		}()
		<-leader.got
		n.engine.follow("n3")
		wantReason(t, <-told, coordv1.Reason_REASON_UNKNOWN_OUTCOME)
	})
}

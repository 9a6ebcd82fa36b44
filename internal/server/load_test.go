package server_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
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
			n.log.Submit(frame, 0, raftstore.Ordinary, nil)
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

// A mute is a leader that is cut off from the follower once it has a call.
type mute struct {
	coordv1.UnimplementedSessionServiceServer
	coordv1.UnimplementedLockServiceServer
	got chan struct{}
}

func (m *mute) RevokeSession(ctx context.Context, _ *coordv1.RevokeSessionRequest) (*coordv1.RevokeSessionResponse, error) {
	return nil, m.keep(ctx)
}

func (m *mute) Lock(ctx context.Context, _ *coordv1.LockRequest) (*coordv1.LockResponse, error) {
	return nil, m.keep(ctx)
}

func (m *mute) keep(ctx context.Context) error {
	close(m.got)
	<-ctx.Done()
	return ctx.Err()
}

// Of a call that was passed on and cut off nobody knows whether it was carried out, so
// that it must not be told as one that never was; but where asking again is harmless,
// that is told.
func TestForwardedCallThatIsCutIsUnknown(t *testing.T) {
	calls := map[string]struct {
		ask  func(context.Context, grpc.ClientConnInterface) error
		want coordv1.Reason
	}{
		"revoke": {func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := coordv1.NewSessionServiceClient(conn).RevokeSession(ctx, &coordv1.RevokeSessionRequest{SessionId: 5, Now: true})
			return err
		}, coordv1.Reason_REASON_UNKNOWN_OUTCOME},
		"lock": {func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := coordv1.NewLockServiceClient(conn).Lock(ctx, &coordv1.LockRequest{})
			return err
		}, coordv1.Reason_REASON_NO_LEADER},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lis := bufconn.Listen(1 << 16)
				leader := &mute{got: make(chan struct{})}
				g := grpc.NewServer()
				coordv1.RegisterSessionServiceServer(g, leader)
				coordv1.RegisterLockServiceServer(g, leader)
				go func() { _ = g.Serve(lis) }()
				defer g.Stop()
				n := start(t, func(c *server.Config, _ *raftstore.Config) {
					c.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }
				})
				n.engine.follow("n2")
				synctest.Wait()
				told := make(chan error)
				go func() { told <- call.ask(t.Context(), n.conn) }()
				<-leader.got
				n.engine.follow("n3")
				err := <-told
				wantReason(t, err, call.want)
				if message := status.Convert(err).Message(); !strings.Contains(message, "outcome unknown") && call.want == coordv1.Reason_REASON_NO_LEADER {
					t.Errorf("says %q", message)
				}
			})
		})
	}
}

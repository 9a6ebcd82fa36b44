package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

func everything() string { return rule("*", "*", "admin", "") }

// retryOf is after how long an error says that its call may be made again, 0 if it does not.
func retryOf(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if retry, ok := d.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// wantShare wants a refusal because the client has its share.
func wantShare(t *testing.T, err error) {
	t.Helper()
	info := wantReason(t, err, coordv1.Reason_REASON_LIMIT)
	if info.GetMetadata()["limit"] != "client" || retryOf(err) == 0 {
		t.Fatalf("not the client's share, or nothing to wait for: %v", err)
	}
}

// attaches tries to open a session of a principal on a stream of its own.
func attaches(t *testing.T, conn grpc.ClientConnInterface, instance uint64) (*client, error) {
	t.Helper()
	c := &client{t: t, api: coordv1.NewSessionServiceClient(conn), instance: instance}
	_, err := c.attach(&coordv1.Attach{Ttl: durationpb.New(testTTL)})
	return c, err
}

// One who takes all the sessions it may is refused more, and nobody else is; it renews, lets go
// and takes up what it has.
func TestShareOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingWith(t, server.Quota{Streams: 2}, principalOf("noisy", everything()), principalOf("quiet", everything()))
		a, b := n.session("noisy", 1), n.session("noisy", 2)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		for i := range 3 {
			_, err := attaches(t, n.as("noisy"), uint64(10+i))
			wantShare(t, err)
		}
		n.session("quiet", 3)

		renewed, err := a.api.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{a.lease(), b.lease()}})
		if err != nil || renewed.GetRenewals()[0] != coordv1.Renewal_RENEWAL_RENEWED {
			t.Fatalf("renewed: %v, %v", renewed, err)
		}
		old := a.stream
		if _, err := a.attach(&coordv1.Attach{SessionId: a.id}); err != nil {
			t.Fatalf("take up a session: %v", err)
		}
		if _, err := old.Recv(); err == nil {
			t.Error("the old stream is not over")
		}
		a.want(a.send(endOp(1)), coordv1.Code_CODE_DONE)
		if _, err := b.attach(&coordv1.Attach{ReplacesId: b.id, ReplacesSecret: b.secret(), Ttl: durationpb.New(testTTL)}); err != nil {
			t.Fatalf("replace a session: %v", err)
		}
		synctest.Wait()
		if err := b.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n.session("noisy", 4)
	})
}

// Streams that do not say what they are for are counted too.
func TestShareOfMuteStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingWith(t, server.Quota{Streams: 2}, principalOf("noisy", everything()), principalOf("quiet", everything()))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		api := coordv1.NewSessionServiceClient(n.as("noisy"))
		for range 4 {
			if _, err := api.Attach(ctx); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		fifth, err := api.Attach(ctx)
		if err == nil {
			_, err = fifth.Recv()
		}
		wantShare(t, err)
		n.session("quiet", 2)
		cancel()
		synctest.Wait()
		n.session("noisy", 3)
	})
}

// Of calls that wait one has so many, on all its connections; what lets go is not counted.
func TestShareOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingWith(t, server.Quota{Calls: 2}, principalOf("noisy", everything()), principalOf("quiet", everything()))
		p, q := openPlain(t, n.as("noisy")), openPlain(t, n.as("quiet"))
		p.mustLock("held", "x")
		other := dial(t, n.lis)
		defer other.Close()
		n.parked(p, "1", "x")
		n.parked(p.via(bearing{other, []string{"authorization", "Bearer noisy"}}), "2", "x")
		_, err := p.lock(t.Context(), "3", "y")
		wantShare(t, err)
		_, err = p.maps.Load(t.Context(), &coordv1.LoadRequest{Name: "m", Key: []byte("k"), Stale: true})
		wantShare(t, err)
		q.mustLock("1", "y")

		for what, call := range map[string]func() error{
			"renew": func() error {
				_, err := p.sessions.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{p.lease}})
				return err
			},
			"status": func() error {
				_, err := coordv1.NewClusterServiceClient(n.as("noisy")).Status(t.Context(), &coordv1.StatusRequest{})
				return err
			},
			"unlock": func() error {
				_, err := p.locks.Unlock(t.Context(), &coordv1.UnlockRequest{Lease: p.lease, RequestId: "none"})
				return err
			},
			"cancel": func() error {
				_, err := p.sessions.CancelCall(t.Context(), &coordv1.CancelCallRequest{Lease: p.lease, RequestId: "none"})
				return err
			},
			"settle": func() error {
				_, err := p.waitGroups.Add(t.Context(), &coordv1.AddRequest{Lease: p.lease, RequestId: "d", Name: "g", Delta: -1})
				if infoOf(err).GetReason() == "INVALID" {
					err = nil // it counts 0
				}
				return err
			},
		} {
			if err := call(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		p.cancel("1")
		synctest.Wait()
		p.mustLock("3", "z")
	})
}

// Watches have shares, and those of more than one object smaller ones.
func TestShareOfWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingWith(t, server.Quota{Watches: 3, Wide: 1}, principalOf("noisy", everything()), principalOf("quiet", everything()))
		watch := func(ctx context.Context, token, name string) error {
			w, err := coordv1.NewInspectServiceClient(n.as(token)).Watch(ctx, &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_LOCK, Name: name})
			if err == nil {
				_, err = w.Recv()
			}
			return err
		}
		must := func(ctx context.Context, token, name string) {
			t.Helper()
			if err := watch(ctx, token, name); err != nil {
				t.Fatalf("%s watches %q: %v", token, name, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		must(ctx, "noisy", "")
		wantShare(t, watch(ctx, "noisy", ""))
		must(ctx, "noisy", "a")
		must(ctx, "noisy", "b")
		wantShare(t, watch(ctx, "noisy", "c"))
		must(ctx, "quiet", "")
		must(ctx, "quiet", "c")
		cancel()
		synctest.Wait()
		must(t.Context(), "noisy", "")
	})
}

// Sessions are opened so fast and no faster, each client for itself; a retry after a while is
// served.
func TestShareOfOpenings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingWith(t, server.Quota{Opens: 2, Burst: 3}, principalOf("noisy", everything()), principalOf("quiet", everything()))
		a := n.session("noisy", 1)
		openPlain(t, n.as("noisy"))
		n.session("noisy", 2)
		refused := func() {
			t.Helper()
			_, err := coordv1.NewSessionServiceClient(n.as("noisy")).OpenSession(t.Context(), &coordv1.OpenSessionRequest{})
			wantReason(t, err, coordv1.Reason_REASON_OVERLOADED)
			if retryOf(err) == 0 {
				t.Error("it does not say when to come again")
			}
			_, err = attaches(t, n.as("noisy"), 9)
			wantReason(t, err, coordv1.Reason_REASON_OVERLOADED)
		}
		refused()
		if _, err := a.attach(&coordv1.Attach{SessionId: a.id}); err != nil {
			t.Errorf("take up a session: %v", err)
		}
		n.session("quiet", 3)
		time.Sleep(500 * time.Millisecond)
		n.session("noisy", 4)
		refused()
		time.Sleep(time.Hour) // it does not save up
		for i := range 3 {
			n.session("noisy", uint64(10+i))
		}
		refused()
	})
}

// What another node passes on was counted there.
func TestSharesAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingWith(t, server.Quota{Streams: 1, Calls: 1, Watches: 1, Burst: 1, Opens: 1}, principalOf("p", everything()))
		peer := n.passedOn()
		defer peer.Close()
		conn := bearing{peer, []string{"coordd-principal", "p", "coordd-address", "10.0.0.1:1", "coordd-node", "n2"}}
		for i := range 3 {
			if _, err := attaches(t, conn, uint64(1+i)); err != nil {
				t.Fatal(err)
			}
		}
		p := openPlain(t, conn)
		p.mustLock("held", "x")
		for i := range 3 {
			n.parked(p, fmt.Sprint(i), "x")
		}
	})
}

// from has all connections of a listener come from an address.
type from struct {
	net.Listener
	addr net.Addr
}

func (l from) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return fakeConn{c, l.addr}, nil
}

// comingFrom is a connection to the node from a host.
func (n *node) comingFrom(host string) *grpc.ClientConn {
	lis := bufconn.Listen(1 << 16)
	go func() { _ = n.server.Serve(from{lis, &net.TCPAddr{IP: net.ParseIP(host), Port: 1}}) }()
	return dial(n.t, lis)
}

// Without rights a client is a host, but not the one that the node runs on.
func TestSharesOfHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(c *server.Config, _ *raftstore.Config) { c.PerClient = server.Quota{Streams: 1, Calls: 1} })
		n.engine.lead()
		synctest.Wait()
		instance := uint64(0)
		opens := func(conn grpc.ClientConnInterface) error {
			instance++
			_, err := attaches(t, conn, instance)
			return err
		}
		noisy, again, quiet, here := n.comingFrom("10.0.0.1"), n.comingFrom("::ffff:10.0.0.1"), n.comingFrom("fe80::1"), n.comingFrom("127.0.0.1")
		gateway := bufconn.Listen(1 << 16)
		go func() { _ = n.server.Serve(server.Shared(gateway)) }()
		shared := dial(t, gateway)
		for _, c := range []*grpc.ClientConn{noisy, again, quiet, here, shared} {
			defer c.Close()
		}
		if err := errors.Join(opens(noisy), opens(quiet), opens(here), opens(here), opens(n.conn), opens(n.conn)); err != nil {
			t.Fatal(err)
		}
		wantShare(t, opens(noisy))
		wantShare(t, opens(again))
		err := opens(bearing{shared, []string{"x-forwarded-for", "10.0.0.9, 10.0.0.1"}})
		wantShare(t, err)
		if message := status.Convert(err).Message(); !strings.Contains(message, "host 10.0.0.1 has 1 streams") {
			t.Errorf("says %q", message)
		}
		if err := opens(bearing{shared, []string{"x-forwarded-for", "10.0.0.1, 10.0.0.9"}}); err != nil {
			t.Error(err)
		}
	})
}

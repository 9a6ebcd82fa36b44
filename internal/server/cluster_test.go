package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft"
	"coordd.dev/raftstore/hraft/hrafttest"
)

// cluster is three nodes on the real engine, in memory.
type cluster struct {
	t       *testing.T
	network *hrafttest.Network
	nodes   []*member
	conns   []*grpc.ClientConn // of the clients, by node
	change  func(*server.Config, *raftstore.Config)
	first   []raftstore.Member // the configuration that nodes without one begin with
	machine func(*server.Replica) raftstore.Machine
}

// member is one node. What it serves clients is at its host, port 7600.
type member struct {
	id      string
	disk    *hrafttest.Disk
	engine  *hraft.Engine
	log     *raftstore.Log
	replica *server.Replica
	server  *server.Server
	served  chan error // of two listeners
	stopped bool
	crashed bool
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	return startClusterOf(t, func(*server.Config, *raftstore.Config) {})
}

// startClusterOf starts one of nodes whose configuration is changed.
func startClusterOf(t *testing.T, change func(*server.Config, *raftstore.Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, network: hrafttest.NewNetwork(), change: change}
	c.machine = func(r *server.Replica) raftstore.Machine { return r }
	c.start()
	return c
}

func (c *cluster) start() {
	c.t.Helper()
	for _, id := range []string{"n1", "n2", "n3"} {
		c.first = append(c.first, raftstore.Member{ID: id, Address: id + ":7601", Voter: true})
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		c.nodes = append(c.nodes, c.startMember(id, new(hrafttest.Disk)))
		c.conns = append(c.conns, c.dial(id))
	}
	c.t.Cleanup(c.stop)
}

func (c *cluster) startMember(id string, disk *hrafttest.Disk) *member {
	c.t.Helper()
	n := &member{id: id, disk: disk, replica: server.NewReplica(), served: make(chan error, 2)}
	stream, err := c.network.Stream(id + ":7601")
	if err != nil {
		c.t.Fatal(err)
	}
	stores := disk.Open()
	n.engine, err = hraft.Open(hraft.Config{
		LocalID: id, Machine: c.machine(n.replica), Transport: hraft.NewTransport(stream, nil),
		LogStore: stores, StableStore: stores, SnapshotStore: stores,
		Bootstrap: c.first,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := server.Config{
		Replica: n.replica, NodeID: id, ClusterID: "c1",
		Locate: func(_ context.Context, node string) (string, error) { return node + ":7600", nil },
		Dial: func(ctx context.Context, node string) (net.Conn, error) {
			return c.network.Dial(ctx, id+":0", node+":7603")
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	var logCfg raftstore.Config
	c.change(&cfg, &logCfg)
	n.log = raftstore.NewLog(n.engine, logCfg)
	cfg.Log = n.log
	n.server, err = server.New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	clients, err := c.network.Listen(id + ":7600")
	if err != nil {
		c.t.Fatal(err)
	}
	nodes, err := c.network.Listen(id + ":7603")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, lis := range []net.Listener{clients, server.Passed(nodes)} {
		go func() { n.served <- n.server.Serve(lis) }()
	}
	return n
}

func (c *cluster) dial(node string) *grpc.ClientConn { return c.dialAt(node + ":7600") }

func (c *cluster) dialAt(address string) *grpc.ClientConn {
	c.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			// Without a delay it dials for ever at one instant of the bubble.
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 2, MaxDelay: time.Second},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return c.network.Dial(ctx, "client:0", addr)
		}))
	if err != nil {
		c.t.Fatal(err)
	}
	return conn
}

func (c *cluster) stop() {
	c.network.Heal()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	for _, n := range c.nodes {
		c.stopMember(n)
	}
}

func (c *cluster) stopMember(n *member) {
	if n.stopped {
		return
	}
	n.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := n.server.Stop(ctx); err != nil {
		c.t.Logf("stop %s: %v", n.id, err) // calls that an isolated node was to pass on
	}
	if err := errors.Join(<-n.served, <-n.served); err != nil && !n.crashed { // a crash closes its listeners
		c.t.Errorf("serve %s: %v", n.id, err)
	}
	if err := n.log.Close(); err != nil {
		c.t.Error(err)
	}
	if err := n.engine.Close(); err != nil {
		c.t.Logf("close engine of %s: %v", n.id, err) // its disk crashed
	}
}

// crash ends node i as a loss of power does, and returns what its disk has kept.
func (c *cluster) crash(i int) *member {
	c.t.Helper()
	n := c.nodes[i]
	n.crashed = true
	c.network.Kill(n.id)
	n.disk.Crash()
	c.stopMember(n)
	return n
}

// leader waits until all nodes that run follow one leader, and returns its place.
func (c *cluster) leader() int {
	c.t.Helper()
	for range 1000 {
		leader, running := -1, 0
		names := make(map[string]int)
		for i, n := range c.nodes {
			if n.stopped {
				continue
			}
			running++
			if n.server.Ready() != nil {
				continue
			}
			l, _ := n.log.Leadership()
			names[l.LeaderID]++
			if l.Leading {
				leader = i
			}
		}
		if leader >= 0 && names[c.nodes[leader].id] == running {
			return leader
		}
		time.Sleep(10 * time.Millisecond) // of the bubble
	}
	c.t.Fatal("no leader")
	return 0
}

func (c *cluster) api(i int) coordv1.SessionServiceClient {
	return coordv1.NewSessionServiceClient(c.conns[i])
}

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

// rider keeps a session over any number of streams, as a client does.
type rider struct {
	*client
	c        *cluster
	node     int
	attached bool
	tokens   []uint64
}

// do makes one call until it has its outcome, whatever happens to streams meanwhile.
// It must come to one effect: the seq is the same each time.
func (r *rider) do(op *coordv1.Op, held ...uint64) *coordv1.Outcome {
	r.seq++
	op.Seq = r.seq
	for {
		if !r.attached && !r.reattach(held) {
			continue
		}
		r.sendFrame(frame(op))
		for {
			o, err := r.recv()
			if err != nil {
				r.attached = false
				time.Sleep(20 * time.Millisecond) // of the bubble, where else no time may pass
				break
			}
			if o.GetSeq() == op.GetSeq() {
				return o
			}
		}
	}
}

func (r *rider) reattach(held []uint64) bool {
	wanted := make([]*coordv1.SeqRange, 0, len(held)+1)
	for _, seq := range append(held, r.seq) {
		wanted = append(wanted, &coordv1.SeqRange{First: seq, Last: seq})
	}
	r.node = (r.node + 1) % len(r.c.nodes)
	r.api = r.c.api(r.node)
	attached, err := r.attach(&coordv1.Attach{SessionId: r.id, Wanted: wanted})
	if err != nil {
		if infoOf(err).GetReason() == "SESSION_OVER" {
			r.t.Fatalf("session lost: %v", err)
		}
		time.Sleep(20 * time.Millisecond) // of the bubble
		return false
	}
	if last := attached.GetLastSeq(); last > r.seq {
		r.t.Fatalf("the machine has seen seq %d of %d", last, r.seq)
	}
	r.attached = true
	return true
}

// lockAndUnlock is one round; it wants a hold of its own with a token above all before.
func (r *rider) lockAndUnlock(name string, shared *int) {
	granted := r.do(lockOp(name))
	if granted.GetCode() != coordv1.Code_CODE_GRANTED {
		r.t.Fatalf("lock: %v", granted)
	}
	*shared++
	if *shared != 1 {
		r.t.Errorf("%d hold %s", *shared, name)
	}
	r.tokens = append(r.tokens, granted.GetToken())
	*shared--
	ended := r.do(endOp(granted.GetSeq()))
	if code := ended.GetCode(); code != coordv1.Code_CODE_DONE && code != coordv1.Code_CODE_OVER {
		r.t.Fatalf("unlock: %v", ended)
	}
}

func TestLeaderChangesUnderStreams(t *testing.T) {
	changes := map[string]func(c *cluster, leader int){
		"transfer": func(c *cluster, leader int) {
			if err := c.nodes[leader].engine.Transfer(c.t.Context(), ""); err != nil {
				c.t.Log(err)
			}
		},
		"vanish": func(c *cluster, leader int) {
			c.network.Isolate(c.nodes[leader].id)
			time.Sleep(3 * time.Second)
			c.network.Heal()
		},
		"kill and restart": func(c *cluster, leader int) {
			n := c.crash(leader)
			c.nodes[leader] = c.startMember(n.id, n.disk)
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rideThrough(t, change) })
		})
	}
}

func rideThrough(t *testing.T, change func(c *cluster, leader int)) {
	c := startCluster(t)
	leader := c.leader()
	done := make(chan *rider)
	stop := make(chan struct{})
	shared := 0
	const riders = 4
	for i := range riders {
		// A session must outlive the change unrenewed.
		r := &rider{client: &client{t: t, api: c.api(i % 3), instance: uint64(i) + 1}, c: c, node: i % 3, attached: true} //nolint:gosec // small
		if _, err := r.attach(&coordv1.Attach{Ttl: durationpb.New(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				select {
				case <-stop:
					done <- r
					return
				default:
					r.lockAndUnlock("x", &shared)
					time.Sleep(time.Millisecond)
				}
			}
		}()
	}
	for range 3 {
		time.Sleep(100 * time.Millisecond)
		change(c, leader)
		leader = c.leader()
	}
	time.Sleep(100 * time.Millisecond)
	close(stop)
	tokens := make(map[uint64]bool)
	for range riders {
		r := <-done
		last := uint64(0)
		for _, token := range r.tokens {
			if token <= last || tokens[token] {
				t.Errorf("token %d after %d", token, last)
			}
			tokens[token], last = true, token
		}
		t.Logf("%d rounds, %d streams", len(r.tokens), r.epoch)
		if r.epoch < 2 {
			t.Error("its stream was never cut")
		}
	}
	sameState(t, c)
}

// sameState wants equal hashes on all nodes at the same index.
func sameState(t *testing.T, c *cluster) {
	t.Helper()
	time.Sleep(time.Second) // of the bubble: followers learn of the last commit
	first := c.nodes[0].replica.State()
	for _, n := range c.nodes[1:] {
		if got := n.replica.State(); got != first {
			t.Errorf("%s is at %+v, %s at %+v", n.id, got, c.nodes[0].id, first)
		}
	}
	if first.Counts.Holds != 0 || first.Counts.Waiters != 0 {
		t.Errorf("left over: %+v", first.Counts)
	}
}

func TestStoppedLeaderIsSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		a := open(t, c.api(leader), 1)
		held := a.send(lockOp("x"))
		token := a.want(held, coordv1.Code_CODE_GRANTED).GetToken()
		begin := time.Now()
		c.stopMember(c.nodes[leader])
		_, err := a.recv()
		if info := infoOf(err); info == nil || status.Code(err) != codes.Unavailable {
			t.Errorf("ended with %v (%v)", err, info)
		}
		a.api = c.api((leader + 1) % 3)
		for { // that one may not have heard yet that another leads
			_, err := a.attach(&coordv1.Attach{
				SessionId: a.id, Wanted: []*coordv1.SeqRange{{First: held, Last: held}},
			})
			if err == nil {
				break
			}
			if status.Code(err) != codes.Unavailable || time.Since(begin) > 150*time.Millisecond {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // of the bubble
		}
		if again := a.want(held, coordv1.Code_CODE_GRANTED).GetToken(); again != token {
			t.Errorf("token %d is now %d", token, again)
		}
		if d := time.Since(begin); d > 150*time.Millisecond {
			t.Errorf("succeeded after %v", d)
		}
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

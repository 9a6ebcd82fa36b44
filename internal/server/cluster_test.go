package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

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

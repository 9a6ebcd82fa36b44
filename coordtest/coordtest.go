package coordtest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft/hrafttest"
)

// patience is how long a method waits for the cluster before it fails the test.
const patience = time.Minute

const (
	clientPort = ":7600"
	peerPort   = ":7601"
	maxNodes   = 7
)

// A Cluster is some nodes and the clients dialled to them.
type Cluster struct {
	t       testing.TB
	logger  *slog.Logger
	peers   *hrafttest.Network
	clients *hrafttest.Network
	nodes   []*Node

	mu     sync.Mutex
	hosts  map[*client.Client]string // of the clients
	dialed int
	faults faults
}

// New starts one node.
func New(t testing.TB, opts ...Option) *Cluster {
	t.Helper()
	return NewCluster(t, 1, opts...)
}

// NewCluster starts n nodes, 1 to 7, and waits for a leader.
func NewCluster(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	if n < 1 || n > maxNodes {
		t.Fatalf("coordtest: %d nodes, not 1 to %d", n, maxNodes)
	}
	out := &output{w: t.Output()}
	t.Cleanup(out.close)
	c := &Cluster{
		t:       t,
		logger:  slog.New(slog.NewTextHandler(out, nil)),
		peers:   hrafttest.NewNetwork(),
		clients: hrafttest.NewNetwork(),
		hosts:   make(map[*client.Client]string),
		faults:  newFaults(),
	}
	for _, o := range opts {
		o.cluster(c)
	}
	var members []raftstore.Member
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		members = append(members, raftstore.Member{ID: name, Address: name + peerPort, Voter: true})
	}
	for _, m := range members {
		c.nodes = append(c.nodes, &Node{cluster: c, name: m.ID, disk: new(hrafttest.Disk), members: members})
	}
	t.Cleanup(c.stop)
	for _, n := range c.nodes {
		n.start()
	}
	c.Leader()
	return c
}

// An output is a test's until the cluster is stopped. raft does not wait for its
// goroutine that accepts connections, and a word of it after the test would be a panic.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(b)
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = io.Discard
}

// An Option configures a cluster.
type Option interface{ cluster(*Cluster) }

// Dial returns a client, closed at cleanup; each is a process of its own to the
// cluster. It fails the test on error.
func (c *Cluster) Dial(opts ...client.Option) *client.Client {
	c.t.Helper()
	c.mu.Lock()
	c.dialed++
	host := fmt.Sprintf("client%d", c.dialed)
	c.mu.Unlock()
	opts = append([]client.Option{
		client.WithName(host),
		client.WithInsecure(),
		client.WithLogger(c.logger.With("client", host)),
		client.WithDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return c.clients.Dial(ctx, host, addr)
		}),
	}, opts...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := client.Dial(ctx, c.addresses(), opts...)
	if err != nil {
		c.t.Fatalf("coordtest: dial: %v", err)
	}
	c.mu.Lock()
	c.hosts[cl] = host
	c.mu.Unlock()
	c.t.Cleanup(func() {
		c.Heal() // or Close would wait for what cannot be sent
		_ = cl.Close()
	})
	return cl
}

// addresses is a target that names all nodes.
func (c *Cluster) addresses() string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, n.name+clientPort)
	}
	return strings.Join(all, ",")
}

// host is that of a client of this cluster's Dial.
func (c *Cluster) host(cl *client.Client) string {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	host := c.hosts[cl]
	if host == "" {
		c.t.Fatal("coordtest: not a client of this cluster's Dial")
	}
	return host
}

// AwaitWaiters returns once n waits are parked on the object: what a test would
// otherwise sleep for.
func (c *Cluster) AwaitWaiters(kind client.Kind, name string, n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	on := park.Object{Kind: park.Kind(kind), Name: name}
	if !c.first(ctx, func(ctx context.Context, l *life) bool {
		return l.awaitWaiters(ctx, on, n)
	}) {
		c.t.Fatalf("coordtest: no %d waiters on %v %s in %v", n, kind, name, patience)
	}
}

// Node returns node i, from 0; Leader the leader, which it waits for.
func (c *Cluster) Node(i int) *Node { return c.nodes[i] }

// Leader returns the node that leads.
func (c *Cluster) Leader() *Node {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n := c.leader(ctx)
	if n == nil {
		c.t.Fatalf("coordtest: no leader in %v", patience)
	}
	return n
}

// leader is nil if there is none before ctx ends.
func (c *Cluster) leader(ctx context.Context) *Node {
	var mu sync.Mutex
	var leader *Node
	c.first(ctx, func(ctx context.Context, l *life) bool {
		if !l.awaitLeading(ctx) {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		leader = l.node
		return true
	})
	mu.Lock()
	defer mu.Unlock()
	return leader
}

// KillLeader is Leader().Kill(), and returns it for Restart.
func (c *Cluster) KillLeader() *Node {
	c.t.Helper()
	n := c.Leader()
	n.Kill()
	return n
}

// first runs ask for every node that runs and can be reached, until one says yes. It
// reports whether one did before ctx ended.
func (c *Cluster) first(ctx context.Context, ask func(context.Context, *life) bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	yes := make(chan struct{}, len(c.nodes))
	for _, n := range c.nodes {
		if l := n.running(); l != nil && !c.cutOff(n.name) {
			asking.Go(func() {
				if ask(ctx, l) {
					yes <- struct{}{}
				}
			})
		}
	}
	select {
	case <-yes:
		return true
	case <-ctx.Done():
		return false
	}
}

// stop is the cleanup.
func (c *Cluster) stop() {
	c.Heal()
	for _, n := range c.nodes {
		if n.running() != nil {
			n.Kill()
		}
	}
}

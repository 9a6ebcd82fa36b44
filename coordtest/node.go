package coordtest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"coordd.dev/internal/park"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft"
	"coordd.dev/raftstore/hraft/hrafttest"
)

// idle is how often a leader says something to a follower when there is nothing to say,
// besides heartbeats. At raft's own pace an hour of virtual time would take three times
// as long.
const idle = 100 * time.Millisecond

const clusterID = "coordtest"

// A Node is one coordd.
type Node struct {
	cluster *Cluster
	name    string
	disk    *hrafttest.Disk
	members []raftstore.Member

	mu   sync.Mutex
	life *life // nil while it is dead
}

// A life is a node from its start to its death.
type life struct {
	node    *Node
	replica *server.Replica
	engine  *hraft.Engine
	log     *raftstore.Log
	server  *server.Server
	serving sync.WaitGroup
}

// Name is n1, n2 and so on.
func (n *Node) Name() string { return n.name }

// Kill ends the node as kill -9 does: its connections are reset, and what it had not
// synced is lost.
func (n *Node) Kill() {
	n.cluster.t.Helper()
	n.mu.Lock()
	l := n.life
	n.life = nil
	n.mu.Unlock()
	if l == nil {
		n.cluster.t.Fatalf("coordtest: %s is not running", n.name)
	}
	n.disk.Crash()
	n.cluster.peers.Kill(n.name)
	n.cluster.clients.Kill(n.name)
	l.end()
}

// Restart starts a node that was killed, with what is on its disk.
func (n *Node) Restart() {
	n.cluster.t.Helper()
	if n.running() != nil {
		n.cluster.t.Fatalf("coordtest: %s is running", n.name)
	}
	n.start()
}

func (n *Node) running() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

func (n *Node) start() {
	c := n.cluster
	c.t.Helper()
	l := &life{node: n, replica: server.NewReplica()}
	logger := c.logger.With("node", n.name)
	stream, err := c.peers.Stream(n.name + peerPort)
	if err != nil {
		c.t.Fatalf("coordtest: start %s: %v", n.name, err)
	}
	stores := n.disk.Open()
	l.engine, err = hraft.Open(hraft.Config{
		LocalID:       n.name,
		Machine:       l.replica,
		Transport:     hraft.NewTransport(stream, logger),
		LogStore:      stores,
		StableStore:   stores,
		SnapshotStore: stores,
		Bootstrap:     n.members,
		Logger:        logger,
		CommitTimeout: idle,
	})
	if err != nil {
		c.t.Fatalf("coordtest: start %s: %v", n.name, err)
	}
	l.log = raftstore.NewLog(l.engine, raftstore.Config{})
	n.mu.Lock()
	n.life = l
	n.mu.Unlock()
	if err := l.serve(); err != nil {
		c.t.Fatalf("coordtest: start %s: %v", n.name, err)
	}
}

// serve serves clients, and, on the other network, the nodes that pass calls on.
func (l *life) serve() error {
	n, c := l.node, l.node.cluster
	var err error
	l.server, err = server.New(server.Config{
		Replica:   l.replica,
		Log:       l.log,
		NodeID:    n.name,
		ClusterID: clusterID,
		Version:   "coordtest",
		Logger:    c.logger.With("node", n.name),
		Locate:    func(_ context.Context, id string) (string, error) { return id + clientPort, nil },
		Dial: func(ctx context.Context, id string) (net.Conn, error) {
			return c.peers.Dial(ctx, n.name, id+clientPort)
		},
		Ask:   c.ask,
		Heard: func(string) string { return "" },
	})
	if err != nil {
		return err
	}
	clients, err := c.clients.Listen(n.name + clientPort)
	if err != nil {
		return err
	}
	nodes, err := c.peers.Listen(n.name + clientPort)
	if err != nil {
		return err
	}
	for _, lis := range []net.Listener{clients, server.Passed(nodes)} {
		l.serving.Go(func() {
			if err := l.server.Serve(lis); err != nil && n.running() == l { // else it was killed
				c.t.Errorf("coordtest: %s: %v", n.name, err)
			}
		})
	}
	return nil
}

// ask says what the node at a peer address is, while it is alive.
func (c *Cluster) ask(_ context.Context, address string) (server.Peer, error) {
	for _, n := range c.nodes {
		if l := n.running(); l != nil && n.name+peerPort == address {
			return server.Peer{
				NodeID: n.name, ClusterID: clusterID, Address: address, Client: n.name + clientPort,
				Member: true, Progress: l.replica.Progress(),
			}, nil
		}
	}
	return server.Peer{}, fmt.Errorf("ask %s: nobody is there", address)
}

// end stops everything of a node that nobody can reach any more.
func (l *life) end() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing is handed over
	_ = l.server.Stop(ctx)
	l.serving.Wait()
	_ = l.log.Close()
	_ = l.engine.Close()
}

// awaitWaiters returns true once the node leads and n waits are parked on the object, false if
// ctx ends. Only the leader's state is the present one: a follower is a little behind, and one
// that has started again goes through all that ever was.
func (l *life) awaitWaiters(ctx context.Context, on park.Object, n int) bool {
	for ctx.Err() == nil && l.awaitLeading(ctx) {
		leadership, changed := l.log.Leadership()
		if !leadership.Leading {
			continue
		}
		term, cancel := context.WithCancel(ctx)
		var watching sync.WaitGroup
		watching.Go(func() {
			select {
			case <-changed:
				cancel()
			case <-term.Done():
			}
		})
		err := l.replica.AwaitWaiters(term, on, n)
		cancel()
		watching.Wait()
		if err == nil {
			return true
		}
	}
	return false
}

// awaitLeading returns true once the node leads, false if ctx ends.
func (l *life) awaitLeading(ctx context.Context) bool {
	for {
		leadership, changed := l.log.Leadership()
		if leadership.Leading {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

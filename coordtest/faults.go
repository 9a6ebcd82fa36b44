package coordtest

import (
	"context"
	"net"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
)

// faults is what is cut off at present.
type faults struct {
	side     map[string]int  // of the nodes of a Partition; nil: there is none
	isolated map[string]bool // nodes
	paused   map[string]bool // nodes and clients
}

func newFaults() faults {
	return faults{isolated: make(map[string]bool), paused: make(map[string]bool)}
}

// alone lists the hosts that nobody reaches.
func (f *faults) alone(hosts []string) (alone [][]string) {
	for _, h := range hosts {
		if f.isolated[h] || f.paused[h] {
			alone = append(alone, []string{h})
		}
	}
	return alone
}

// change makes f change the faults, and has both networks follow.
func (c *Cluster) change(f func(*faults)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.faults)
	var nodes, all []string
	for _, n := range c.nodes {
		nodes = append(nodes, n.name)
		all = append(all, n.name)
	}
	for _, host := range c.hosts {
		all = append(all, host)
	}
	sides := c.faults.alone(nodes)
	if c.faults.side != nil {
		together := make(map[int][]string)
		for _, n := range nodes {
			if c.faults.isolated[n] || c.faults.paused[n] {
				continue
			}
			if side, ok := c.faults.side[n]; ok {
				together[side] = append(together[side], n)
			} else {
				sides = append(sides, []string{n})
			}
		}
		for _, side := range together {
			sides = append(sides, side)
		}
	}
	c.peers.Partition(sides...)
	c.clients.Partition(c.faults.alone(all)...)
}

// cutOff reports whether nobody reaches a host.
func (c *Cluster) cutOff(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults.isolated[host] || c.faults.paused[host]
}

// Expire ends cl's session on the cluster now, as if its TTL had passed (but for a
// lock-delay, which it cuts short); cl does not know yet: its traffic is paused until
// Resume.
func (c *Cluster) Expire(cl *client.Client) {
	c.t.Helper()
	id, err := strconv.ParseUint(string(cl.Session().ID), 16, 64)
	if err != nil {
		c.t.Fatalf("coordtest: expire: %v", err)
	}
	c.Pause(cl)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cc, err := grpc.NewClient("passthrough:///"+c.Leader().name+clientPort,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return c.clients.Dial(ctx, "operator", addr)
		}))
	if err != nil {
		c.t.Fatalf("coordtest: expire: %v", err)
	}
	defer cc.Close()
	_, err = coordv1.NewSessionServiceClient(cc).RevokeSession(ctx, &coordv1.RevokeSessionRequest{SessionId: id, Now: true})
	if err != nil {
		c.t.Fatalf("coordtest: expire: %v", err)
	}
}

// Pause stops all traffic of cl, both ways, as an unplugged cable would; Resume
// lets it flow.
func (c *Cluster) Pause(cl *client.Client) {
	c.t.Helper()
	host := c.host(cl)
	c.change(func(f *faults) { f.paused[host] = true })
}

// Resume lets the traffic of cl flow, what was held first.
func (c *Cluster) Resume(cl *client.Client) {
	c.t.Helper()
	host := c.host(cl)
	c.change(func(f *faults) { delete(f.paused, host) })
}

// Partition cuts the nodes into sides that cannot reach each other; a node in none
// is alone. Heal mends that, Pause and Isolate. Clients reach every node.
func (c *Cluster) Partition(sides ...[]*Node) {
	c.change(func(f *faults) {
		f.side = make(map[string]int)
		for i, side := range sides {
			for _, n := range side {
				f.side[n.name] = i
			}
		}
	})
}

// Heal ends all that Partition, Isolate and Pause cut off.
func (c *Cluster) Heal() { c.change(func(f *faults) { *f = newFaults() }) }

// Pause makes the node one that does not respond: all its traffic, with nodes and with
// clients, is held until Resume, and connections to it hang. Its own clock and timers
// go on, which those of a process stopped by a signal do not: a paused leader soon
// knows that it leads no more.
func (n *Node) Pause() { n.cluster.change(func(f *faults) { f.paused[n.name] = true }) }

// Resume lets the traffic of the node flow, what was held first.
func (n *Node) Resume() { n.cluster.change(func(f *faults) { delete(f.paused, n.name) }) }

// Isolate cuts the node off from nodes and clients until Heal.
func (n *Node) Isolate() { n.cluster.change(func(f *faults) { f.isolated[n.name] = true }) }

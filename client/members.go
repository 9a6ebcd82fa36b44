package client

import (
	"context"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

// membersEvery is how often the leader is asked who the members are. Nodes are replaced one
// at a time, and each takes longer than that.
const membersEvery = 30 * time.Second

// serveMembers learns of new members while there is no other cause to ask: when the leader
// goes, all that Dial was given may have gone before it.
func (c *conn) serveMembers(ctx context.Context) {
	t := time.NewTicker(membersEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		c.mu.Lock()
		l := c.current
		c.mu.Unlock()
		if l == nil {
			continue
		}
		if st, err := l.status(ctx); err == nil {
			c.learn(st)
		}
	}
}

// learn keeps what a leader says of where the nodes are: no other node knows of all.
func (c *conn) learn(st *coordv1.StatusResponse) {
	if !st.GetLeading() {
		return
	}
	var at []string
	for _, m := range st.GetMembers() {
		if a := m.GetClientAddress(); a != "" {
			at = append(at, a)
		}
	}
	c.keep(at)
}

func (c *conn) keep(at []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = at[:min(len(at), maxEndpoints)]
}

// left is failed of a link whose node has said why, and perhaps where the others are.
func (c *conn) left(l *link, r *refused) {
	if at := r.nodes(); len(at) > 0 {
		c.keep(at)
	}
	c.failed(l, r.leader())
}

// learnt is what was learnt, of which cluster.
func (c *conn) learnt() (cluster string, at []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of, c.members
}

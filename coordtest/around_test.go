package coordtest

import (
	"context"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
)

// A client that cannot reach the leader, because its nodes are known by other addresses
// among themselves, works through any node that can.
func TestAroundTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := NewCluster(t, 3)
		forbidden := cluster.Leader().name + clientPort
		c := cluster.Dial(client.WithDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			if addr == forbidden {
				return nil, syscall.ECONNREFUSED
			}
			return cluster.clients.Dial(ctx, "around", addr)
		}))
		h, err := c.Mutex("m").LockContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		session := c.Session().ID
		time.Sleep(time.Minute) // of renewals
		if err := h.Err(); err != nil {
			t.Error(err)
		}
		cluster.KillLeader().Restart()
		time.Sleep(time.Minute)
		if err := h.Unlock(t.Context()); err != nil || c.Session().ID != session {
			t.Errorf("session %v after %v: %v", c.Session().ID, session, err)
		}
	})
}

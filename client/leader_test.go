package client_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// Holds and places in line survive the death of the leader, again and again.
func TestLeaderKilled(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		before := a.Session().ID
		var order []int
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				h := must(b.Mutex("m").LockContext(t.Context()))(t)
				order = append(order, i)
				if err := h.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			})
			cluster.AwaitWaiters(client.KindLock, "m", i+1)
		}
		for range 3 {
			dead := cluster.KillLeader()
			cluster.Leader()
			time.Sleep(time.Minute)
			dead.Restart()
			time.Sleep(time.Second)
		}
		if err := h.Err(); err != nil || a.Session().ID != before {
			t.Fatalf("the hold did not survive: %v", err)
		}
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if got := fmt.Sprint(order); got != "[0 1 2]" {
			t.Error(got)
		}
	})
}

// The next lock is had soon after the next leader's election, which takes as long as it
// takes, or after the client has seen that the old leader says nothing, if that is later.
func TestFailOverTime(t *testing.T) {
	const suspicion, search = 1250 * time.Millisecond, 250 * time.Millisecond
	for name, fail := range map[string]func(*coordtest.Cluster) (mend func()){
		"killed":   func(c *coordtest.Cluster) func() { c.KillLeader(); return func() {} },
		"vanished": func(c *coordtest.Cluster) func() { c.Leader().Isolate(); return func() {} },
		"paused":   func(c *coordtest.Cluster) func() { c.Leader().Pause(); return func() {} },
		"no majority is left at first": func(c *coordtest.Cluster) func() {
			leader := c.Leader()
			leader.Isolate()
			c.Partition() // each alone
			return func() {
				time.Sleep(2500 * time.Millisecond)
				c.Partition([]*coordtest.Node{c.Node(0), c.Node(1), c.Node(2)})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
				mu := cluster.Dial().Mutex("m")
				pass(mu)
				mend := fail(cluster)
				start := time.Now()
				var election time.Duration
				var wg sync.WaitGroup
				wg.Go(func() {
					mend()
					cluster.Leader()
					election = time.Since(start)
				})
				pass(mu)
				took := time.Since(start)
				wg.Wait()
				if took > max(election, suspicion)+search {
					t.Errorf("took %v, the election %v", took, election)
				}
			})
		})
	}
}

// A leader that stands still for three election timeouts, under load: no session ends
// early, none lives for ever, no operation is lost or done twice.
func TestLeaderPausedUnderLoad(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const clients, workers, rounds = 4, 8, 30
		idle := cluster.Dial(client.WithTTL(3 * time.Second))
		idleHold := must(idle.Mutex("idle").LockContext(t.Context()))(t)
		var in [3]int // guarded by m0 to m2
		var done atomic.Int32
		var wg sync.WaitGroup
		for range clients {
			c := cluster.Dial(client.WithTTL(3*time.Second), client.WithOnLost(func(e *client.LostError) { t.Error(e) }))
			for w := range workers {
				here := &in[w%len(in)]
				mu := c.Mutex(fmt.Sprint("m", w%len(in)))
				wg.Go(func() {
					for range rounds {
						mu.Lock()
						if *here++; *here != 1 {
							t.Errorf("%d are in", *here)
						}
						time.Sleep(time.Millisecond)
						*here--
						done.Add(1)
						mu.Unlock()
					}
				})
			}
		}
		for range 3 {
			n := cluster.Leader()
			n.Pause()
			time.Sleep(900 * time.Millisecond)
			n.Resume()
			time.Sleep(500 * time.Millisecond)
		}
		wg.Wait()
		if n := done.Load(); n != clients*workers*rounds {
			t.Errorf("%d rounds", n)
		}
		if err := idleHold.Err(); err != nil {
			t.Errorf("the idle session ended early: %v", err)
		}
		// And a session that is really gone does end, on time.
		cluster.Pause(idle)
		start := time.Now()
		must(cluster.Dial().Mutex("idle").LockContext(t.Context()))(t)
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("the idle session ended after %v", d)
		}
	})
}

// C over A: on the minority's side nothing is granted, and what is held there is given
// up before the majority gives it to another.
func TestPartition(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial(client.WithTTL(2 * time.Second))
		h := must(a.Mutex("m").LockContext(t.Context()))(t)
		old := cluster.Leader()
		var rest []*coordtest.Node
		for i := range 3 {
			if n := cluster.Node(i); n != old {
				rest = append(rest, n)
			}
		}
		cluster.Partition([]*coordtest.Node{old}, rest)
		// a reaches every node, and finds the majority's leader in time.
		time.Sleep(10 * time.Second)
		if err := h.Err(); err != nil {
			t.Errorf("lost although the majority was in reach: %v", err)
		}
		cluster.Heal()
		time.Sleep(time.Second)
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Two of three nodes are gone: calls wait, with a ctx as long as that; Try methods say
// that nobody answers; and when the nodes are back everything goes on.
func TestNoMajority(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial(client.WithTTL(time.Minute))
		h := must(c.Mutex("m").LockContext(t.Context()))(t)
		one, two := cluster.KillLeader(), cluster.KillLeader()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.Mutex("n").LockContext(ctx)
		wantErr(t, err, context.DeadlineExceeded)
		_, err = c.Mutex("n").TryLockContext(t.Context())
		wantErr(t, err, client.ErrUnavailable)
		got := make(chan error, 1)
		go func() {
			_, err := c.Mutex("n").LockContext(t.Context())
			got <- err
		}()
		time.Sleep(20 * time.Second)
		if err := h.Err(); err != nil {
			t.Errorf("lost before its lease: %v", err)
		}
		one.Restart()
		two.Restart()
		if err := <-got; err != nil {
			t.Error(err)
		}
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Many sessions share a connection and its renewals.
func TestManySessionsOnOneConnection(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		var holds []*client.Hold
		for i := range 50 {
			s := must(c.NewSession(t.Context(), client.WithTTL(time.Duration(3+i%4)*time.Second)))(t)
			defer s.Close()
			holds = append(holds, must(s.Mutex(fmt.Sprint("m", i)).LockContext(t.Context()))(t))
			time.Sleep(7 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		cluster.KillLeader().Restart()
		time.Sleep(time.Minute)
		for i, h := range holds {
			if err := h.Err(); err != nil {
				t.Errorf("hold %d: %v", i, err)
			}
		}
		if err := c.Close(); err != nil { // the others go on
			t.Error(err)
		}
		time.Sleep(time.Minute)
		for i, h := range holds {
			if err := h.Unlock(t.Context()); err != nil {
				t.Errorf("hold %d: %v", i, err)
			}
		}
	})
}

package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A select commits one arm, and leaves nothing of the others.
func TestSelect(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c, other := cluster.Dial(), cluster.Dial()
		held := must(other.Mutex("m").LockContext(t.Context()))(t)
		job := client.NewChan[string](c, "jobs", 4).OnRecv()
		lock := c.Mutex("m").OnLock()
		permits := c.Semaphore("s", 2).OnAcquire(2)
		cases := []client.Case{job, lock, client.After(time.Minute)}
		if err := c.Semaphore("s", 2).Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		chosen := make(chan client.Case, 1)
		sel := func() { chosen <- must(client.Select(t.Context(), append(cases, permits)...))(t) }

		go sel()
		cluster.AwaitWaiters(client.KindChan, "jobs", 1)
		client.NewChan[string](other, "jobs", 4).Send("x")
		if got := <-chosen; got != client.Case(job) || job.Value != "x" || !job.OK {
			t.Errorf("chose %T, %+v", got, job)
		}
		if d, err := c.Describe(t.Context(), client.KindLock, "m"); err != nil || d.Waiting != 0 {
			t.Errorf("an arm is left: %+v, %v", d, err)
		}

		go sel()
		cluster.AwaitWaiters(client.KindLock, "m", 1)
		if err := held.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := <-chosen; got != client.Case(lock) || lock.Hold.Token() <= held.Token() || lock.Hold.Name() != "m" {
			t.Errorf("chose %T, %+v", got, lock.Hold)
		}

		go sel()
		cluster.AwaitWaiters(client.KindSemaphore, "s", 1)
		time.Sleep(time.Minute)
		if got := <-chosen; got != cases[2] {
			t.Errorf("chose %T after a minute", got)
		}
		synctest.Wait()
		if d, err := c.Describe(t.Context(), client.KindSemaphore, "s"); err != nil || d.Waiting != 0 {
			t.Errorf("an arm is left: %+v, %v", d, err)
		}
	})
}

func TestSelectDefaultAndErrors(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c, other := cluster.Dial(), cluster.Dial()
		ch := client.NewChan[int](c, "c", 0)
		recv, send, none := ch.OnRecv(), ch.OnSend(1), client.Default()
		if got, err := client.Select(t.Context(), recv, send, none); got != client.Case(none) || err != nil {
			t.Errorf("chose %T: %v", got, err)
		}
		if got, err := client.Select(t.Context(), none); got != client.Case(none) || err != nil {
			t.Errorf("chose %T: %v", got, err)
		}
		// It never meets itself.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := client.Select(ctx, recv, send); got != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("chose %T: %v", got, err)
		}
		closed := client.NewChan[int](c, "closed", 1)
		closed.Close()
		onClosed := closed.OnSend(1)
		if got, err := client.Select(t.Context(), onClosed); got != client.Case(onClosed) || !errors.Is(err, client.ErrClosed) {
			t.Errorf("chose %T: %v", got, err)
		}
		of := closed.OnRecv()
		if got, err := client.Select(t.Context(), recv, of); got != client.Case(of) || of.OK || err != nil {
			t.Errorf("chose %T %v: %v", got, of.OK, err)
		}
		if _, err := client.Select(t.Context(), recv, other.Mutex("m").OnLock()); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("of two clients: %v", err)
		}
		done, cancelNow := context.WithCancel(t.Context())
		cancelNow()
		if got, err := client.Select(done); got != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("chose %T: %v", got, err)
		}
	})
}

// Of several ready a fair one is taken; an ordered select takes the first.
func TestSelectIsFair(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		const n = 60
		c := cluster.Dial()
		a, b := client.NewChan[int](c, "a", n), client.NewChan[int](c, "b", n)
		for range n {
			a.Send(1)
			b.Send(1)
		}
		x, y := a.OnRecv(), b.OnRecv()
		first := 0
		for range n {
			if must(client.Select(t.Context(), x, y))(t) == client.Case(x) {
				first++
			}
		}
		if first < n/5 || first > n*4/5 {
			t.Errorf("of %d the first arm was taken %d times", n, first)
		}
		for range n - first {
			if must(client.SelectOrdered(t.Context(), x, y))(t) != client.Case(x) {
				t.Fatal("an ordered select takes the second")
			}
		}
	})
}

// An election, a wait group and a once are arms like any other.
func TestSelectOthers(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c, other := cluster.Dial(), cluster.Dial()
		other.WaitGroup("g").Add(1)
		l := must(other.Election("e").Campaign(t.Context(), "other"))(t)
		lead, group, once := c.Election("e").OnCampaign("me"), c.WaitGroup("g").OnDone(), c.Once("o").OnDone()
		chosen := make(chan client.Case, 1)
		sel := func() { chosen <- must(client.Select(t.Context(), lead, group, once))(t) }
		go sel()
		cluster.AwaitWaiters(client.KindWaitGroup, "g", 1)
		other.WaitGroup("g").Done()
		if got := <-chosen; got != client.Case(group) || group.Err != nil {
			t.Errorf("chose %T: %v", got, group.Err)
		}
		other.WaitGroup("g").Add(1)
		go sel()
		cluster.AwaitWaiters(client.KindOnce, "o", 1)
		other.Once("o").Do(func() {})
		if got := <-chosen; got != client.Case(once) {
			t.Errorf("chose %T", got)
		}
		lead = c.Election("e").OnCampaign("me")
		go func() { chosen <- must(client.Select(t.Context(), lead, group))(t) }()
		cluster.AwaitWaiters(client.KindElection, "e", 1)
		if err := l.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := <-chosen; got != client.Case(lead) || lead.Leadership.Err() != nil {
			t.Errorf("chose %T", got)
		}
	})
}

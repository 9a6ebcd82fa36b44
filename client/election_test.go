package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// campaign wins, and fails the test otherwise.
func campaign(t *testing.T, e *client.Election, value string) *client.Leadership {
	t.Helper()
	return must(e.Campaign(context.Background(), value))(t)
}

// candidate campaigns in the background. It returns once it stands as the nth in line.
func candidate(t *testing.T, cluster *coordtest.Cluster, e *client.Election, value string, nth int) <-chan *client.Leadership {
	t.Helper()
	won := make(chan *client.Leadership, 1)
	go func() {
		l, err := e.Campaign(t.Context(), value) // ends with the test
		if err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		won <- l
	}()
	cluster.AwaitWaiters(client.KindElection, "e", nth)
	return won
}

// wantLeader fails the test unless the value leads, "" being nobody.
func wantLeader(t *testing.T, c *client.Client, value string) client.Leader {
	t.Helper()
	l := must(c.Election("e").Leader(context.Background()))(t)
	if l.Value != value || l.Vacant != (value == "") {
		t.Errorf("%+v leads, not %q", l, value)
	}
	return l
}

// Who has the higher priority leads first, and of one priority who came first.
func TestCampaignOrder(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		first := campaign(t, c.Election("e"), "first")
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		terms := []client.Token{first.Token()}
		for i, p := range []int{0, 5, -1, 5, 0} {
			e := cluster.Dial().Election("e", client.WithPriority(p))
			all.Go(func() {
				l := campaign(t, e, fmt.Sprint(p, ".", i))
				mu.Lock()
				order, terms = append(order, fmt.Sprint(p, ".", i)), append(terms, l.Token())
				mu.Unlock()
				if err := l.Resign(t.Context()); err != nil {
					t.Error(err)
				}
			})
			cluster.AwaitWaiters(client.KindElection, "e", i+1)
		}
		line := must(c.Election("e").Candidates(t.Context()))(t)
		var values []string
		for _, candidate := range line {
			values = append(values, candidate.Value)
		}
		want := []string{"first", "5.1", "5.3", "0.0", "0.4", "-1.2"}
		if !slices.Equal(values, want) || line[1].Priority != 5 || line[5].Priority != -1 || line[1].Who.Name != "client3" {
			t.Errorf("in line are %+v", line)
		}
		if err := first.Resign(t.Context()); err != nil {
			t.Error(err)
		}
		all.Wait()
		if !slices.Equal(order, want[1:]) {
			t.Errorf("led in the order %v", order)
		}
		if !slices.IsSorted(terms) || len(slices.Compact(terms)) != 6 {
			t.Errorf("terms %v", terms)
		}
		wantLeader(t, c, "")
	})
}

func TestCampaignRefuses(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		for what, campaign := range map[string]func() (*client.Leadership, error){
			"the value has 4097 bytes": func() (*client.Leadership, error) {
				return c.Election("e").Campaign(t.Context(), strings.Repeat("x", 4097))
			},
			"the value is not UTF-8": func() (*client.Leadership, error) {
				return c.Election("e").Campaign(t.Context(), "\xff")
			},
			"the name is empty": func() (*client.Leadership, error) {
				return c.Election("").Campaign(t.Context(), "")
			},
			"priority 4294967296 is not": func() (*client.Leadership, error) {
				return c.Election("e", client.WithPriority(1<<32)).Campaign(t.Context(), "")
			},
		} {
			_, err := campaign()
			wantErr(t, err, client.ErrInvalid)
			if err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%v, not %q", err, what)
			}
		}
		l := campaign(t, c.Election("e"), strings.Repeat("x", 4096))
		wantErr(t, l.Proclaim(t.Context(), "\xff"), client.ErrInvalid)
		wantErr(t, l.TransferTo(t.Context(), "2a"), client.ErrInvalid)
		// Who leads and waits to lead with the leadership's ctx would wait for ever.
		_, err := c.Election("e").Campaign(l.Context(), "again")
		wantErr(t, err, client.ErrDeadlock)
	})
}

// A cancelled Campaign leaves nothing behind, whoever it races.
func TestCampaignCancelled(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		led := 0
		for i := range 100 {
			mine := campaign(t, a.Election("e"), "a")
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				l, err := b.Election("e").Campaign(ctx, "b")
				if err != nil {
					wantErr(t, err, context.Canceled)
					return
				}
				led++
				if err := l.Resign(t.Context()); err != nil {
					t.Error(err)
				}
			})
			cluster.AwaitWaiters(client.KindElection, "e", 1)
			wg.Go(func() { _ = mine.Resign(t.Context()) })
			if i%2 == 0 {
				synctest.Wait()
			}
			cancel()
			wg.Wait()
			synctest.Wait()
			wantHeld(t, a, client.KindElection, "e", 0, 0)
		}
		if led < 50 {
			t.Errorf("led %d times of 50 at least", led)
		}
	})
}

// The candidate that waits leads at the expiry of the leader, to the nanosecond, and the
// leader knew a margin before.
func TestLeaderExpires(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const ttl = 10 * time.Second
		a, b := cluster.Dial(client.WithTTL(ttl)), cluster.Dial()
		opened := time.Now()
		old := campaign(t, a.Election("e"), "a")
		won := candidate(t, cluster, b.Election("e"), "b", 1)
		cluster.Pause(a)
		next := <-won
		if got := time.Since(opened); got != ttl {
			t.Errorf("the candidate led after %v", got)
		}
		lost, _ := errors.AsType[*client.LostError](old.Err())
		if lost == nil || lost.At.Sub(opened) != ttl-ttl/10 || lost.Kind != client.KindElection {
			t.Errorf("the leader lost: %v", old.Err())
		}
		if got := lost.Error(); !strings.HasPrefix(got, "election e: lost after 9s: lease expired (token ") {
			t.Error(got)
		}
		<-old.Lost()
		wantErr(t, context.Cause(old.Context()), client.ErrLost)
		wantErr(t, old.Proclaim(t.Context(), "a2"), client.ErrLost)
		wantErr(t, old.TransferTo(t.Context(), b.Session().ID), client.ErrLost)
		wantErr(t, old.Resign(t.Context()), client.ErrLost)
		if next.Token() <= old.Token() {
			t.Errorf("term %v after %v", next.Token(), old.Token())
		}
		wantLeader(t, b, "b")
	})
}

// A Campaign that was granted on a session which died before anybody heard of it has not
// succeeded: it goes on in the next session.
func TestCampaignNeverSucceedsOnADeadSession(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial(client.WithTTL(2*time.Second))
		first := campaign(t, a.Election("e"), "a")
		dead := b.Session()
		e := b.Election("e")
		won := candidate(t, cluster, e, "b", 1)
		cluster.Pause(b)
		if err := first.Resign(t.Context()); err != nil { // b leads, and does not know
			t.Fatal(err)
		}
		wantLeader(t, a, "b")
		<-dead.Context().Done()
		select {
		case <-won:
			t.Error("it succeeded on a dead session")
		case <-time.After(time.Minute):
		}
		wantErr(t, e.IsLeader(t.Context()), client.ErrNotFound)
		cluster.Resume(b)
		l := <-won
		if err := errors.Join(l.Err(), e.IsLeader(t.Context())); err != nil {
			t.Error(err)
		}
		if got := wantLeader(t, a, "b"); got.Term != l.Token() || got.Who.Session == dead.ID {
			t.Errorf("it is led by %+v, not in term %v", got, l.Token())
		}
	})
}

// IsLeader costs no network, and is right for each handle, also if it campaigns twice at
// once.
func TestIsLeader(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial(client.WithTTL(3 * time.Second))
		e, other := c.Election("e"), c.Election("e")
		wantErr(t, e.IsLeader(t.Context()), client.ErrNotFound)
		first := campaign(t, e, "one")
		won := candidate(t, cluster, e, "two", 1)
		if err := e.IsLeader(t.Context()); err != nil {
			t.Error(err)
		}
		wantErr(t, other.IsLeader(t.Context()), client.ErrNotFound)
		if err := first.Resign(t.Context()); err != nil {
			t.Error(err)
		}
		second := <-won
		wantErr(t, first.Err(), client.ErrReleased)
		if err := e.IsLeader(t.Context()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantErr(t, e.IsLeader(ctx), context.Canceled)
		cluster.Pause(c)
		if err := e.IsLeader(t.Context()); err != nil {
			t.Errorf("within the lease: %v", err)
		}
		c.Suspend(3 * time.Second) // no timer has fired
		wantErr(t, e.IsLeader(t.Context()), client.ErrLost)
		wantErr(t, second.Err(), client.ErrLost)
	})
}

// A node answers from its own state, with the index of that, also if it knows no leader.
func TestLeaderStale(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		e := c.Election("e", client.WithNote("why"))
		l, vacant, err := e.LeaderStale(t.Context())
		if err != nil || !l.Vacant || vacant == 0 {
			t.Errorf("at first: %+v at %d, %v", l, vacant, err)
		}
		won := campaign(t, e, "v")
		now := must(e.Leader(t.Context()))(t)
		if now.Value != "v" || now.Term != won.Token() || now.Who.Session != c.Session().ID || now.Who.Note != "why" {
			t.Errorf("it is led by %+v", now)
		}
		time.Sleep(time.Second) // for the others to have it
		cluster.KillLeader()    // which is the node in use
		cluster.Leader().Kill() // and with this one the majority
		l, index, err := e.LeaderStale(t.Context())
		if err != nil || l.Value != "v" || l.Term != now.Term || index <= vacant {
			t.Errorf("without a majority: %+v at %d, %v", l, index, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = e.Leader(ctx)
		wantErr(t, err, context.DeadlineExceeded)
		for i := range 3 {
			cluster.Node(i).Pause()
		}
		_, _, err = e.LeaderStale(t.Context())
		wantErr(t, err, client.ErrUnavailable)
		_, _, err = e.LeaderStale(ctx)
		wantErr(t, err, context.DeadlineExceeded)
		_, _, err = c.Election("").LeaderStale(t.Context())
		wantErr(t, err, client.ErrInvalid)
		_ = c.Close()
		_, _, err = e.LeaderStale(t.Context())
		wantErr(t, err, client.ErrClientClosed)
	})
}

// While a leader's lock-delay runs nobody leads.
func TestLockDelayIsVacant(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(client.WithTTL(time.Second)), cluster.Dial()
		campaign(t, a.Election("e", client.WithLockDelay(time.Minute)), "a")
		won := candidate(t, cluster, b.Election("e"), "b", 1)
		cluster.Pause(a)
		time.Sleep(30 * time.Second)
		wantLeader(t, b, "")
		if line := must(b.Election("e").Candidates(t.Context()))(t); len(line) != 1 || line[0].Value != "b" {
			t.Errorf("candidates: %+v", line)
		}
		d := must(b.Describe(t.Context(), client.KindElection, "e"))(t)
		if got := d.Holders[0].Delayed; got < 30*time.Second || got > 31*time.Second {
			t.Errorf("delayed for %v", got)
		}
		<-won
		wantLeader(t, b, "b")
	})
}

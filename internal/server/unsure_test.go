package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// Whatever became of a call, asking again under its id is right.
func TestUnknownOutcomeIsSettledByAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		n.engine.failNext(raftstore.ErrUnknown)
		_, err := p.lock(t.Context(), "1", "x")
		wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
		const want = "lock x: outcome unknown: the leader could not learn whether it was committed; " +
			"ask again, under the same request_id if it has one"
		if got := status.Convert(err).Message(); got != want {
			t.Errorf("says %q", got)
		}
		time.Sleep(time.Second) // the log tries its term again
		p.mustLock("1", "x")
		n.wantCounts(1, 0)
		n.engine.failNext(raftstore.ErrNotLeader)
		_, err = p.locks.Unlock(t.Context(), &coordv1.UnlockRequest{Lease: p.lease, RequestId: "1"})
		wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
		time.Sleep(time.Second)
		p.mustUnlock("1")
	})
}

func TestParkedCallOutlivesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("1", "x")
		waits := n.parked(b, "1", "x")
		n.engine.follow("n2")
		wantReason(t, (<-waits).err, coordv1.Reason_REASON_NO_LEADER)
		n.engine.lead()
		synctest.Wait()
		n.wantCounts(1, 1)
		again := b.goLock("1", "x")
		synctest.Wait()
		n.wantCounts(1, 1)
		a.mustUnlock("1")
		if g := <-again; g.err != nil {
			t.Error(g.err)
		}
	})
}

// Who has a session's id and not its secret is not told what its calls become.
func TestWrongSecretIsNotToldTheAnswerOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("1", "x")
		waits := n.parked(b, "1", "x")
		thief := b.via(n.conn)
		thief.lease = &coordv1.Lease{SessionId: b.lease.GetSessionId(), Secret: a.lease.GetSecret()}
		release := n.engine.holdBack()
		unlocked := make(chan struct{})
		go func() { a.mustUnlock("1"); close(unlocked) }() // which grants b's call
		synctest.Wait()
		told := thief.goLock("1", "x")
		synctest.Wait()
		release()
		wantReason(t, (<-told).err, coordv1.Reason_REASON_NOT_YOURS)
		<-unlocked
		if g := <-waits; g.err != nil || g.token == 0 {
			t.Error(g)
		}
	})
}

func TestStopTellsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("1", "x")
		waits := n.parked(b, "1", "x")
		if err := n.server.Stop(t.Context()); err != nil { // it does not have to cut calls off
			t.Error(err)
		}
		wantReason(t, (<-waits).err, coordv1.Reason_REASON_STOPPING)
	})
}

func TestStoppedLeaderHandsCallsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		next := c.conns[(leader+1)%3]
		a, b := openPlain(t, c.conns[leader]), openPlain(t, c.conns[leader])
		a.mustLock("1", "x")
		waits := b.goLock("1", "x")
		if err := c.nodes[leader].replica.AwaitWaiters(t.Context(), lockNamed("x"), 1); err != nil {
			t.Fatal(err)
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			c.stopMember(c.nodes[leader])
		}()
		wantReason(t, (<-waits).err, coordv1.Reason_REASON_STOPPING)
		<-stopped
		c.leader() // until the others have noticed, they pass calls on to who is gone
		again := b.via(next).goLock("1", "x")
		a.via(next).mustUnlock("1")
		if g := <-again; g.err != nil {
			t.Error(g.err)
		}
	})
}

func TestReleasesAreNeverRefusedForLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(_ *server.Config, c *raftstore.Config) { c.MaxUncommittedBytes = 8 << 10 })
		n.engine.lead()
		synctest.Wait()
		p := openPlain(t, n.conn)
		p.mustLock("1", "x")
		p.mustAcquire("2", 3, 5)
		release := n.engine.holdBack()
		filler := p.goLock("3", "y") // in flight
		synctest.Wait()
		for i := range 100 {
			p.goLock(fmt.Sprint("full", i), "z")
		}
		synctest.Wait()
		_, err := p.lock(t.Context(), "4", "y")
		wantReason(t, err, coordv1.Reason_REASON_OVERLOADED)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.mustUnlock("1")
			p.mustRelease("5", "2", 1)
			if _, err := p.sessions.CloseSession(t.Context(), &coordv1.CloseSessionRequest{Lease: p.lease}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		release()
		<-done
		<-filler
	})
}

const maxWaits = 200

func TestWaitsOfAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("1", "x")
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for i := range maxWaits {
			waiting.Go(func() { _, _ = b.lock(ctx, fmt.Sprint(i), "x") })
		}
		synctest.Wait()
		n.wantCounts(1, maxWaits)
		_, err := b.lock(t.Context(), "more", "x")
		if limit := wantReason(t, err, coordv1.Reason_REASON_LIMIT).GetMetadata()["limit"]; limit != "connection" {
			t.Errorf("limit %q", limit)
		}
		t.Log(status.Convert(err).Message())
		n.wantCounts(1, maxWaits) // it was not made

		_, err = b.try("try", "x") // which cannot wait
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
		b.mustUnlock("none") // neither can this
		node := n.passedOn()
		defer node.Close()
		go func() { _, _ = b.via(node).lock(ctx, "passed on", "x") }()
		other := dial(t, n.lis)
		defer other.Close()
		own := b.via(other).goLock("own", "x")
		synctest.Wait()
		n.wantCounts(1, maxWaits+2)

		cancel()
		waiting.Wait()
		synctest.Wait()
		more := b.goLock("more", "x")
		synctest.Wait()
		n.wantCounts(1, maxWaits+3)
		_, err = b.sessions.CloseSession(t.Context(), &coordv1.CloseSessionRequest{Lease: b.lease})
		if err != nil {
			t.Error(err)
		}
		wantReason(t, (<-own).err, coordv1.Reason_REASON_SESSION_OVER)
		wantReason(t, (<-more).err, coordv1.Reason_REASON_SESSION_OVER)
	})
}

func TestCallsThroughFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		one, two := c.conns[(leader+1)%3], c.conns[(leader+2)%3]
		a, b := openPlain(t, one), openPlain(t, two)
		token := a.mustLock("1", "x")
		if again := a.via(two).mustLock("1", "x"); again != token {
			t.Errorf("token %d, elsewhere %d", token, again)
		}
		waits := b.goLock("1", "x")
		if err := c.nodes[leader].replica.AwaitWaiters(t.Context(), lockNamed("x"), 1); err != nil {
			t.Fatal(err)
		}
		a.via(two).mustUnlock("1")
		if g := <-waits; g.err != nil || g.token <= token {
			t.Errorf("%v after token %d", g, token)
		}
		_, err := a.try("2", "x")
		if _, ok := detail[*coordv1.Description](err); !ok {
			t.Errorf("no description came through: %v", err)
		}
		b.mustUnlock("1")
		sameState(t, c)
	})
}

// A gateway's connection is that of many clients.
func TestWaitsOfASharedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		lis := bufconn.Listen(1 << 16)
		served := make(chan error, 1)
		go func() { served <- n.server.Serve(server.Shared(lis)) }()
		conn := dial(t, lis)
		p := openPlain(t, conn)
		p.mustLock("1", "x")
		var waiting sync.WaitGroup
		for i := range maxWaits + 1 {
			waiting.Go(func() {
				if _, err := p.lock(t.Context(), fmt.Sprint("w", i), "x"); infoOf(err).GetReason() != "SESSION_OVER" {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		n.wantCounts(1, maxWaits+1)
		if _, err := p.sessions.CloseSession(t.Context(), &coordv1.CloseSessionRequest{Lease: p.lease}); err != nil {
			t.Error(err)
		}
		waiting.Wait()
		_ = conn.Close()
		if err := n.server.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// A follower counts the waits of its connections itself: the leader does not.
func TestWaitsThroughAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		follower := (leader + 1) % 3
		a, b := openPlain(t, c.conns[leader]), openPlain(t, c.conns[follower])
		a.mustLock("1", "x")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range maxWaits {
			go func() { _, _ = b.lock(ctx, fmt.Sprint(i), "x") }()
		}
		await := func(n int) {
			t.Helper()
			if err := c.nodes[leader].replica.AwaitWaiters(t.Context(), lockNamed("x"), n); err != nil {
				t.Fatal(err)
			}
		}
		await(maxWaits)
		_, err := b.lock(t.Context(), "more", "x")
		wantReason(t, err, coordv1.Reason_REASON_LIMIT)
		other := c.dial(c.nodes[follower].id)
		defer other.Close()
		go func() { _, _ = b.via(other).lock(ctx, "other", "x") }()
		await(maxWaits + 1)
		if _, err := b.sessions.CloseSession(t.Context(), &coordv1.CloseSessionRequest{Lease: b.lease}); err != nil {
			t.Error(err)
		}
	})
}

// persist asks node after node, always the same, until there is an answer that counts.
func (p *plain) persist(c *cluster, ask func(*plain) error) {
	p.t.Helper()
	for i := range 1000 {
		switch err := ask(p.via(c.conns[i%3])); infoOf(err).GetReason() {
		case "NO_LEADER", "STOPPING", "OVERLOADED":
			time.Sleep(20 * time.Millisecond) // of the bubble
		default:
			if err != nil && infoOf(err) == nil { // of the transport
				time.Sleep(20 * time.Millisecond)
				continue
			}
			if err != nil {
				p.t.Errorf("asked %d times: %v", i+1, err)
			}
			return
		}
	}
	p.t.Error("asked for ever")
}

// Locks are handed on, each under one request id, while leaders change: none is had
// twice, and none is lost.
func TestLeaderChangesUnderCalls(t *testing.T) {
	for name, change := range lossesOfLeader() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { callThrough(t, change) })
		})
	}
}

func callThrough(t *testing.T, change func(c *cluster, leader int)) {
	c := startCluster(t)
	leader := c.leader()
	stop := make(chan struct{})
	done := make(chan []uint64) // the tokens of each
	inside := 0
	const callers = 4
	for i := range callers {
		p := openPlain(t, c.conns[i%3])
		go func() {
			var tokens []uint64
			for n := 0; ; n++ {
				select {
				case <-stop:
					done <- tokens
					return
				default:
				}
				id := fmt.Sprint("round ", n)
				p.persist(c, func(p *plain) error {
					r, err := p.locks.Lock(t.Context(), &coordv1.LockRequest{
						Lease: p.lease, RequestId: id, Names: []string{"x"}, WaitLimit: durationpb.New(time.Hour),
					})
					if err == nil {
						tokens = append(tokens, r.GetToken())
					}
					return err
				})
				if inside++; inside != 1 {
					t.Errorf("%d hold x", inside)
				}
				time.Sleep(time.Millisecond) // of the bubble
				inside--
				p.persist(c, func(p *plain) error {
					_, err := p.locks.Unlock(t.Context(), &coordv1.UnlockRequest{Lease: p.lease, RequestId: id})
					return err
				})
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
	seen := make(map[uint64]bool)
	for range callers {
		tokens := <-done
		for _, token := range tokens {
			if seen[token] {
				t.Errorf("token %d twice", token)
			}
			seen[token] = true
		}
		t.Logf("%d rounds", len(tokens))
	}
	sameState(t, c)
}

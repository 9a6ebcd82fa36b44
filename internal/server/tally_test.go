package server_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// crowded is a node where each may wait for three things, and the session of another principal
// that holds x.
func crowded(t *testing.T) *guardedNode {
	n := leadingWith(t, server.Quota{Waits: 3}, principalOf("noisy", everything()), principalOf("quiet", everything()))
	h := n.session("quiet", 99)
	h.want(h.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
	return n
}

// Waits of all sessions of a client are counted together, by arms, and only while they wait; what
// is too much is refused, and everything else of its frame is done.
func TestShareOfWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := crowded(t)
		a, b, q := n.session("noisy", 1), n.session("noisy", 2), n.session("quiet", 3)
		two := waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{lockArm("x"), lockArm("y")}, Commit: coordv1.Commit_COMMIT_ALL})
		a.send(two)
		synctest.Wait()
		first := b.send(lockOp("x"), lockOp("x"), lockOp("z"), noop())
		for i, code := range []coordv1.Code{coordv1.Code_CODE_LIMIT, coordv1.Code_CODE_LIMIT, coordv1.Code_CODE_DONE} {
			if o := b.want(first+1+uint64(i), code); i < 2 && o.GetValue() != 3 {
				t.Errorf("limit %d", o.GetValue())
			}
		}
		q.send(lockOp("x"))
		synctest.Wait()
		n.wantCounts(1, 3)

		b.want(b.send(endOp(first)), coordv1.Code_CODE_DONE)
		b.want(b.send(lockOp("z")), coordv1.Code_CODE_GRANTED)
		b.want(b.send(lockOp("z2")), coordv1.Code_CODE_GRANTED) // what is granted does not wait
		b.send(lockOp("x"))
		synctest.Wait()
		b.want(b.send(lockOp("x")), coordv1.Code_CODE_LIMIT)
		a.want(a.send(endOp(1)), coordv1.Code_CODE_DONE)
		last := b.send(lockOp("x"), lockOp("x")) + 1
		synctest.Wait()
		n.wantCounts(3, 4)
		all := []*coordv1.SeqRange{{First: last - 3, Last: last - 3}, {First: last - 1, Last: last}}
		if _, err := b.attach(&coordv1.Attach{SessionId: b.id, Wanted: all}); err != nil { // its waits stay, and count
			t.Fatal(err)
		}
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_LIMIT)
		b.want(b.send(&coordv1.Op{Op: &coordv1.Op_Leave{Leave: &coordv1.Leave{}}}), coordv1.Code_CODE_DONE)
		synctest.Wait()
		a.send(lockOp("x"), lockOp("x"), lockOp("x"))
		synctest.Wait()
		n.wantCounts(1, 4)
	})
}

// Of calls without a stream those count that wait, whether anybody waits for them or not.
func TestShareOfWaitsOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := crowded(t)
		p, q := openPlain(t, n.as("noisy")), openPlain(t, n.as("quiet"))
		ctx, hangUp := context.WithCancel(t.Context())
		for i := range 3 {
			go func() { _, _ = p.lock(ctx, fmt.Sprint(i), "x") }()
		}
		synctest.Wait()
		hangUp()
		synctest.Wait()
		n.wantCounts(1, 3)
		_, err := p.lock(t.Context(), "3", "x")
		wantShare(t, err)
		again := p.goLock("1", "x") // it joins
		n.parked(q, "1", "x")
		p.cancel("1")
		wantReason(t, (<-again).err, coordv1.Reason_REASON_CALL_OVER)
		n.parked(p, "4", "x")
		_, err = p.try("5", "x") // which does not wait
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
		_, err = p.lock(t.Context(), "6", "x")
		wantShare(t, err)

		time.Sleep(time.Minute) // the wait limit
		if _, err := p.sessions.Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{p.lease}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 3 {
			n.parked(p, fmt.Sprint(10+i), "x")
		}
	})
}

// Waits of sessions that are over are not counted for ever.
func TestWaitsOfTheDeadDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := crowded(t)
		c := n.session("noisy", 1)
		c.want(c.send(noop()), coordv1.Code_CODE_DONE)
		p := openPlain(t, n.as("noisy"))
		release := n.engine.holdBack()
		c.send(&coordv1.Op{Op: &coordv1.Op_Leave{Leave: &coordv1.Leave{}}})
		synctest.Wait()
		c.send(lockOp("x"), lockOp("x"), lockOp("x")) // too late
		synctest.Wait()
		release()
		synctest.Wait()
		lease := p.lease
		for i := range 3 {
			p.lease = &coordv1.Lease{SessionId: 1_000_000, Secret: lease.GetSecret()}
			_, err := p.lock(t.Context(), fmt.Sprint(i), "x")
			wantReason(t, err, coordv1.Reason_REASON_SESSION_OVER)
		}
		p.lease = lease
		short := &client{t: t, api: coordv1.NewSessionServiceClient(n.as("noisy")), instance: 7}
		if _, err := short.attach(&coordv1.Attach{Ttl: durationpb.New(time.Second)}); err != nil {
			t.Fatal(err)
		}
		short.send(lockOp("x"), lockOp("x"), lockOp("x"))
		synctest.Wait()
		time.Sleep(2 * time.Second) // its lease
		for i := range 3 {
			n.parked(p, fmt.Sprint(10+i), "x")
		}
	})
}

// A session that takes up its stream lets go of what it does not list.
func TestWaitsThatAreNotListedDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := crowded(t)
		c := n.session("noisy", 1)
		first := c.send(lockOp("x"), lockOp("x"), lockOp("x"))
		synctest.Wait()
		n.wantCounts(1, 3)
		listed := &coordv1.SeqRange{First: first, Last: first}
		if _, err := c.attach(&coordv1.Attach{SessionId: c.id, Wanted: []*coordv1.SeqRange{listed}}); err != nil {
			t.Fatal(err)
		}
		n.wantCounts(1, 1)
		last := c.send(lockOp("x"), lockOp("x"), lockOp("x")) + 2
		c.want(last, coordv1.Code_CODE_LIMIT)
		synctest.Wait()
		n.wantCounts(1, 3)
	})
}

// By whatever node they come, waits are counted at the one that leads.
func TestShareOfWaitsOverNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := crowded(t)
		peer := n.passedOn()
		defer peer.Close()
		via := func(node string) grpc.ClientConnInterface {
			return bearing{peer, []string{"coordd-principal", "noisy", "coordd-address", "10.0.0.1:1", "coordd-node", node}}
		}
		a, b := open(t, coordv1.NewSessionServiceClient(via("n2")), 1), open(t, coordv1.NewSessionServiceClient(via("n3")), 2)
		a.send(lockOp("x"), lockOp("x"))
		b.send(lockOp("x"))
		synctest.Wait()
		b.want(b.send(lockOp("x")), coordv1.Code_CODE_LIMIT)
	})
}

// Nor do those of a frame that failed.
func TestWaitsThatFailedDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := crowded(t)
		a := n.session("noisy", 1)
		n.engine.failNext(raftstore.ErrUnknown)
		a.send(lockOp("x"), lockOp("x"), lockOp("x"))
		a.wantEnd(coordv1.Reason_REASON_NO_LEADER)
		time.Sleep(time.Second) // the log tries its term again
		b := n.session("noisy", 2)
		b.send(lockOp("x"), lockOp("x"), lockOp("x"))
		synctest.Wait()
		n.wantCounts(1, 3)
	})
}

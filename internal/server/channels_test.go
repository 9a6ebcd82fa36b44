package server_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/park"
)

func channelNamed(name string) park.Object { return park.Object{Kind: park.KindChan, Name: name} }

func (p *plain) send(id, element string, capacity int64) error {
	_, err := p.channels.Send(p.t.Context(), &coordv1.SendRequest{
		Lease: p.lease, RequestId: id, Name: "c", Element: []byte(element), Capacity: proto.Int64(capacity),
	})
	return err
}

func (p *plain) mustSend(id, element string, capacity int64) {
	p.t.Helper()
	if err := p.send(id, element, capacity); err != nil {
		p.t.Fatalf("send %s: %v", element, err)
	}
}

func (p *plain) receive(id string, ack bool) (*coordv1.ReceiveResponse, error) {
	return p.channels.Receive(p.t.Context(), &coordv1.ReceiveRequest{Lease: p.lease, RequestId: id, Name: "c", Acknowledge: ack})
}

// mustReceive is receive that has an element.
func (p *plain) mustReceive(id, element string, ack bool) *coordv1.ReceiveResponse {
	p.t.Helper()
	r, err := p.receive(id, ack)
	if err != nil || string(r.GetElement()) != element {
		p.t.Fatalf("%s received %q, not %q: %v", id, r.GetElement(), element, err)
	}
	return r
}

func (p *plain) acknowledge(id, delivery string) error {
	_, err := p.channels.Acknowledge(p.t.Context(), &coordv1.AcknowledgeRequest{Lease: p.lease, RequestId: id, Delivery: delivery})
	return err
}

func (p *plain) closeChannel(id string) error {
	_, err := p.channels.CloseChannel(p.t.Context(), &coordv1.CloseChannelRequest{Lease: p.lease, RequestId: id, Name: "c"})
	return err
}

func (n *node) wantSays(err error, reason coordv1.Reason, message string) map[string]string {
	n.t.Helper()
	info := wantReason(n.t, err, reason)
	if got := status.Convert(err).Message(); got != message {
		n.t.Errorf("says %q", got)
	}
	return info.GetMetadata()
}

// A retry neither sends nor takes another element.
func TestRetriesOfSendAndReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		for range 3 {
			a.mustSend("s1", "one", 5)
			a.mustSend("s2", "two", 5)
		}
		for range 3 {
			b.mustReceive("r1", "one", false)
		}
		b.mustReceive("r2", "two", false)
		parked := make(chan *coordv1.ReceiveResponse, 2)
		for range 2 { // a retry of what waits joins it
			go func() { parked <- b.mustReceive("r3", "three", false) }()
		}
		if err := n.replica.AwaitWaiters(t.Context(), channelNamed("c"), 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n.wantCounts(0, 1)
		a.mustSend("s3", "three", 5)
		<-parked
		<-parked
		n.wantCounts(0, 0)
	})
}

// An RPC that ends while the element comes has not lost it.
func TestElementOfAnEndedRPCIsThereForItsRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r, err := b.channels.Receive(ctx, &coordv1.ReceiveRequest{Lease: b.lease, RequestId: "r", Name: "c"}); err == nil {
			t.Fatalf("received %v", r)
		}
		a.mustSend("s", "one", 0) // which meets b's call
		b.mustReceive("r", "one", false)
		n.engine.follow("n2")
		n.engine.lead()
		synctest.Wait()
		b.mustReceive("r", "one", false)
	})
}

func TestAcknowledge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlainFor(t, n.conn, 10*time.Second)
		a.mustSend("s1", "one", 5)
		a.mustSend("s2", "two", 5)
		first := b.mustReceive("r1", "one", true)
		again := b.mustReceive("r1", "one", true)
		if first.GetToken() == 0 || first.GetAttempt() != 1 || !proto.Equal(first, again) {
			t.Errorf("%v, and on the retry %v", first, again)
		}
		for range 2 {
			if _, err := b.channels.GiveBack(t.Context(), &coordv1.GiveBackRequest{Lease: b.lease, Delivery: "r1"}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.receive("r1", true)
		wantReason(t, err, coordv1.Reason_REASON_CALL_OVER)
		if r := b.mustReceive("r2", "one", true); r.GetAttempt() != 2 || r.GetToken() <= first.GetToken() {
			t.Errorf("the second delivery is %v after %v", r, first)
		}
		time.Sleep(11 * time.Second) // b's session ends
		if r := a.mustReceive("r", "one", true); r.GetAttempt() != 3 {
			t.Errorf("the third delivery is %v", r)
		}
		for range 2 {
			if err := a.acknowledge("a", "r"); err != nil {
				t.Fatal(err)
			}
		}
		a.mustReceive("next", "two", false)
		n.wantSays(a.acknowledge("b", "r"), coordv1.Reason_REASON_NOT_FOUND,
			"acknowledge: the call of delivery has no element, or not any more; leave it to whoever receives it next, under another request_id")
		a.mustLock("lock", "x")
		wantReason(t, a.acknowledge("c", "lock"), coordv1.Reason_REASON_INVALID)
	})
}

func TestClosedChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		n.wantSays(a.closeChannel("none"), coordv1.Reason_REASON_NOT_FOUND,
			"close channel c: there is none of that name, and no capacity to make it with; give its capacity, under another request_id")
		a.mustSend("s1", "one", 1)
		waits := make(chan error, 1)
		go func() { waits <- a.send("s2", "two", 1) }()
		if err := n.replica.AwaitWaiters(t.Context(), channelNamed("c"), 1); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.closeChannel("close"); err != nil {
				t.Fatal(err)
			}
		}
		const sent = "send to c: the channel c is closed, and nothing was sent; send to another"
		n.wantSays(<-waits, coordv1.Reason_REASON_CLOSED, sent)
		n.wantSays(a.send("s2", "two", 1), coordv1.Reason_REASON_CLOSED, sent)
		b.mustReceive("r1", "one", false)
		_, err := b.receive("r2", false)
		n.wantSays(err, coordv1.Reason_REASON_CLOSED, "receive from c: the channel c is closed, and nothing more comes; go on without it")
		wantReason(t, a.closeChannel("again"), coordv1.Reason_REASON_CLOSED)
	})
}

// A refusal says which of capacity and codec differs, and what is stored.
func TestMismatchOfChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		first := &coordv1.SendRequest{Lease: p.lease, RequestId: "1", Name: "c", Capacity: proto.Int64(3), Codec: "json"}
		if _, err := p.channels.Send(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		got := n.wantSays(p.send("2", "x", 4), coordv1.Reason_REASON_MISMATCH,
			"send to c: channel c was made with capacity 3; give that, or none for whatever it is, under another request_id")
		if got["value"] != "3" {
			t.Errorf("metadata %v", got)
		}
		_, err := p.channels.Receive(t.Context(), &coordv1.ReceiveRequest{Lease: p.lease, RequestId: "3", Name: "c", Codec: "raw"})
		got = n.wantSays(err, coordv1.Reason_REASON_MISMATCH,
			`receive from c: channel c was made with the codec "json"; give that, or none for whatever it is, under another request_id`)
		if got["codec"] != "json" {
			t.Errorf("metadata %v", got)
		}
		_, err = p.channels.CloseChannel(t.Context(), &coordv1.CloseChannelRequest{Lease: p.lease, RequestId: "4", Name: "c", Codec: "raw"})
		if got := wantReason(t, err, coordv1.Reason_REASON_MISMATCH).GetMetadata()["codec"]; got != "json" {
			t.Errorf("codec %q is stored", got)
		}
	})
}

// Who tries is told what was in the way, and who waits waits so long and no longer.
func TestFullChannelIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		p.mustSend("1", "one", 1)
		req := &coordv1.SendRequest{Lease: p.lease, RequestId: "2", Name: "c", Try: true}
		_, err := p.channels.Send(t.Context(), req)
		n.wantSays(err, coordv1.Reason_REASON_BUSY,
			"send to c: would wait: it has 1 of 1 elements, 0 of them unacknowledged; ask again, or without try, under another request_id")
		begin := time.Now()
		req.Try, req.RequestId, req.WaitLimit = false, "3", durationpb.New(2*time.Second)
		_, err = p.channels.Send(t.Context(), req)
		wantReason(t, err, coordv1.Reason_REASON_TIMED_OUT)
		if d := time.Since(begin); d < 2*time.Second || d > 3*time.Second {
			t.Errorf("after %v", d)
		}
		p.mustReceive("r", "one", false)
		_, err = p.channels.Receive(t.Context(), &coordv1.ReceiveRequest{Lease: p.lease, RequestId: "4", Name: "c", Try: true})
		wantReason(t, err, coordv1.Reason_REASON_BUSY) // what timed out was not sent
	})
}

// Through whatever node, and over a change of leaders in between, each element comes once.
func TestElementsOverAChangeOfLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		p := openPlain(t, c.conns[(leader+1)%3])
		for i := range 5 {
			p.mustSend(fmt.Sprint("s", i), fmt.Sprint(i), 10)
		}
		p.mustReceive("r0", "0", false)
		c.crash(leader)
		next := p.via(c.conns[(leader+2)%3])
		again := func(f func() error) {
			for err := f(); err != nil; err = f() {
				if r := infoOf(err).GetReason(); r != "NO_LEADER" {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		again(func() error { return next.send("s4", "4", 10) })
		for i := range 5 {
			again(func() error {
				r, err := next.receive(fmt.Sprint("r", i), false)
				if err == nil && !bytes.Equal(r.GetElement(), fmt.Append(nil, i)) {
					t.Errorf("received %q, not %d", r.GetElement(), i)
				}
				return err
			})
		}
		_, err := next.channels.Receive(t.Context(), &coordv1.ReceiveRequest{Lease: p.lease, RequestId: "more", Name: "c", Try: true})
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
	})
}

package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

func (p *plain) delete(id string, kind coordv1.Kind, name string) error {
	_, err := p.objects.DeleteObject(p.t.Context(), &coordv1.DeleteObjectRequest{Lease: p.lease, RequestId: id, Kind: kind, Name: name})
	return err
}

func (p *plain) choose(req *coordv1.SelectRequest) (*coordv1.SelectResponse, error) {
	req.Lease = p.lease
	return p.selects.Select(p.t.Context(), req)
}

func lockArm(name string) *coordv1.Arm { return &coordv1.Arm{Kind: coordv1.Kind_KIND_LOCK, Name: name} }

func receiveArm(name string, ack bool) *coordv1.Arm {
	return &coordv1.Arm{Kind: coordv1.Kind_KIND_CHAN, Name: name, Side: coordv1.Side_SIDE_RECEIVE, Limit: -1, Acknowledge: ack}
}

func sendArm(name, element string, capacity int64) *coordv1.Arm {
	return &coordv1.Arm{
		Kind: coordv1.Kind_KIND_CHAN, Name: name, Side: coordv1.Side_SIDE_SEND, Limit: capacity, Element: []byte(element),
	}
}

// One arm proceeds, and no other; a retry is told which it was.
func TestSelect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("l", "x")
		arms := []*coordv1.Arm{lockArm("x"), receiveArm("c", true)}
		_, err := b.choose(&coordv1.SelectRequest{RequestId: "try", Arms: arms, Try: true})
		wantReason(t, err, coordv1.Reason_REASON_BUSY)
		done := make(chan *coordv1.SelectResponse, 2)
		for range 2 {
			go func() {
				r, err := b.choose(&coordv1.SelectRequest{RequestId: "1", Arms: arms})
				if err != nil {
					t.Error(err)
				}
				done <- r
			}()
		}
		synctest.Wait()
		n.wantCounts(1, 1)
		a.mustSend("s", "one", 3)
		for range 2 {
			if r := <-done; r.GetArm() != 1 || string(r.GetData()) != "one" || r.GetToken() == 0 || r.GetAttempt() != 1 {
				t.Errorf("it came to %v", r)
			}
		}
		a.mustUnlock("l") // b is not in its line any more
		n.wantCounts(1, 0)
		if err := a.delete("used", coordv1.Kind_KIND_CHAN, "c"); infoOf(err).GetReason() != "BUSY" {
			t.Errorf("deleted with an element out: %v", err)
		}
		if err := b.acknowledge("2", "1"); err != nil {
			t.Error(err)
		}
		n.wantCounts(0, 0)
	})
}

func TestSelectInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		arms := []*coordv1.Arm{
			{Kind: coordv1.Kind_KIND_SEMAPHORE, Name: "s", Limit: 2},
			{Kind: coordv1.Kind_KIND_WAIT_GROUP, Name: "g"},
			{Kind: coordv1.Kind_KIND_ONCE, Name: "o"},
			sendArm("c", "one", 1),
		}
		for i, want := range []uint32{0, 0, 1, 1} { // the group is at zero for ever, the semaphore not
			r, err := p.choose(&coordv1.SelectRequest{RequestId: string(rune('a' + i)), Arms: arms, InOrder: true})
			if err != nil || r.GetArm() != want {
				t.Errorf("choice %d: %v, %v", i, r, err)
			}
		}
		if r, err := p.choose(&coordv1.SelectRequest{RequestId: "o", Arms: arms[2:], InOrder: true}); err != nil || r.GetToken() == 0 {
			t.Errorf("a once: %v, %v", r, err)
		}
		if err := p.complete(&coordv1.CompleteRequest{Run: "o", RequestId: "done", Result: []byte("42")}); err != nil {
			t.Error(err)
		}
		r, err := p.choose(&coordv1.SelectRequest{RequestId: "o2", Arms: arms[2:], InOrder: true})
		if err != nil || string(r.GetData()) != "42" || r.GetEnd() != coordv1.OnceEnd_ONCE_END_RETURNED {
			t.Errorf("a done once: %v, %v", r, err)
		}
		if err := p.closeChannel("close"); infoOf(err).GetReason() != "NOT_FOUND" {
			t.Errorf("a channel that nobody sent to: %v", err)
		}
	})
}

// Of several arms an error says which.
func TestSelectOfAClosedChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		p.mustLock("l", "x")
		p.mustSend("1", "one", 1)
		if err := p.closeChannel("2"); err != nil {
			t.Fatal(err)
		}
		_, err := p.choose(&coordv1.SelectRequest{RequestId: "3", Arms: []*coordv1.Arm{lockArm("x"), sendArm("c", "two", 1)}})
		got := n.wantSays(err, coordv1.Reason_REASON_CLOSED,
			"select x and 1 more: the channel c is closed, and nothing was sent; send to another")
		if got["arm"] != "1" {
			t.Errorf("metadata %v", got)
		}
		_, err = p.choose(&coordv1.SelectRequest{RequestId: "4", Arms: []*coordv1.Arm{lockArm("x"), receiveArm("c", false), sendArm("c", "", 9)}})
		wantReason(t, err, coordv1.Reason_REASON_MISMATCH)
	})
}

// All in one step, of whatever kinds, in whatever order they are named.
func TestLockAllKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := openPlain(t, n.conn), openPlain(t, n.conn)
		a.mustLock("l", "x")
		arms := []*coordv1.Arm{
			{Kind: coordv1.Kind_KIND_ELECTION, Name: "e", Value: "b:80"}, {Kind: coordv1.Kind_KIND_SEMAPHORE, Name: "s", Limit: 2, Count: 2}, lockArm("x"),
		}
		done := make(chan got, 1)
		go func() {
			r, err := b.selects.LockAll(t.Context(), &coordv1.LockAllRequest{Lease: b.lease, RequestId: "1", Arms: arms})
			done <- got{r.GetToken(), err}
		}()
		synctest.Wait()
		n.wantCounts(1, 1)
		a.wantLeader("")
		a.mustUnlock("l")
		if g := <-done; g.err != nil || g.token == 0 {
			t.Error(g)
		}
		a.wantLeader("b:80")
		b.mustUnlock("1")
		a.wantLeader("")
	})
}

// Who overtakes others by its priority may close a cycle of theirs, which it is then told.
func TestDeadlockByPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, p := open(t, n.api, 1), openPlain(t, n.conn)
		p.mustLock("held", "y")
		x := a.send(lockOp("x"))
		a.want(x, coordv1.Code_CODE_GRANTED)
		a.send(waitOp(&coordv1.Wait{
			Arms: []*coordv1.Arm{lockArm("y")}, Lineage: []*coordv1.NamedHold{{SessionId: a.id, Seq: x}},
		}))
		synctest.Wait()
		r := make(chan error, 1)
		go func() {
			_, err := p.selects.LockAll(t.Context(), &coordv1.LockAllRequest{
				Lease: p.lease, RequestId: "1", Priority: 1, Arms: []*coordv1.Arm{lockArm("x"), lockArm("y")},
			})
			r <- err
		}()
		select {
		case err := <-r:
			wantReason(t, err, coordv1.Reason_REASON_DEADLOCK)
			if w, ok := detail[*coordv1.CycleWait](err); !ok {
				t.Errorf("nobody is told of: %v", w)
			}
		case <-time.After(time.Second):
			t.Error("it waits for ever")
		}
	})
}

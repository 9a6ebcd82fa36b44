package server_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

func TestLostLeadershipCutsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		n.engine.follow("")
		info := a.wantEnd(coordv1.Reason_REASON_NO_LEADER)
		if leader, ok := info.GetMetadata()["leader"]; ok {
			t.Errorf("leader %q of nobody", leader)
		}
	})
}

func TestHintNamesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		n.engine.follow("n2")
		synctest.Wait() // its address is looked up
		n.engine.lead()
		synctest.Wait()
		a := open(t, n.api, 1)
		n.engine.follow("n2")
		synctest.Wait()
		info := a.wantEnd(coordv1.Reason_REASON_NO_LEADER)
		if leader := info.GetMetadata()["leader"]; leader != "addr-n2" {
			t.Errorf("hint is %q", leader)
		}
	})
}

// A command of the stream fails: what was not answered is sent again, and done once.
func TestFailedCommandCutsStreamAndIsResent(t *testing.T) {
	tests := map[string]struct {
		err    error
		reason coordv1.Reason
	}{
		"unknown":    {raftstore.ErrUnknown, coordv1.Reason_REASON_NO_LEADER},
		"not leader": {raftstore.ErrNotLeader, coordv1.Reason_REASON_NO_LEADER},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				a := open(t, n.api, 1)
				held := a.send(lockOp("x"))
				a.want(held, coordv1.Code_CODE_GRANTED)
				n.engine.failNext(test.err)
				lost := a.send(lockOp("y"))
				a.wantEnd(test.reason)
				time.Sleep(time.Second) // the log tries its term again
				attached, err := a.attach(&coordv1.Attach{
					SessionId: a.id, Wanted: []*coordv1.SeqRange{{First: held, Last: lost}},
				})
				if err != nil {
					t.Fatal(err)
				}
				a.want(held, coordv1.Code_CODE_GRANTED)
				if attached.GetLastSeq() != held {
					t.Fatalf("last seq is %d", attached.GetLastSeq())
				}
				a.seq = attached.GetLastSeq()
				a.want(a.send(lockOp("y")), coordv1.Code_CODE_GRANTED)
			})
		})
	}
}

func TestOverloadCutsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(_ *server.Config, c *raftstore.Config) { c.MaxUncommittedBytes = 4 << 10 })
		n.engine.lead()
		synctest.Wait()
		a := open(t, n.api, 1)
		held := a.send(lockOp("x"))
		a.want(held, coordv1.Code_CODE_GRANTED)
		release := n.engine.holdBack()
		ops := make([]*coordv1.Op, 600)
		for range 3 {
			for i := range ops {
				ops[i] = lockOp("y")
			}
			a.send(ops...)
		}
		a.wantEnd(coordv1.Reason_REASON_OVERLOADED)
		// A session can let go whatever the load.
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := a.attach(&coordv1.Attach{SessionId: a.id}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		release()
		<-done
	})
}

func TestRestoreCutsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		held := a.send(lockOp("x"))
		a.want(held, coordv1.Code_CODE_GRANTED)
		before := n.replica.State()
		var snapshot bytes.Buffer
		if err := n.replica.Snapshot().Persist(&snapshot); err != nil {
			t.Fatal(err)
		}
		if err := n.replica.Restore(bytes.NewReader(snapshot.Bytes()[:snapshot.Len()-1])); err == nil {
			t.Error("a snapshot that is cut short was restored")
		}
		if err := n.replica.Restore(&snapshot); err != nil {
			t.Fatal(err)
		}
		if after := n.replica.State(); after != before {
			t.Errorf("restored %+v, not %+v", after, before)
		}
		a.wantEnd(coordv1.Reason_REASON_NO_LEADER)
		if _, err := a.attach(&coordv1.Attach{
			SessionId: a.id, Wanted: []*coordv1.SeqRange{{First: held, Last: held}},
		}); err != nil {
			t.Fatal(err)
		}
		a.want(held, coordv1.Code_CODE_GRANTED)
	})
}

// What cannot be decoded is an error before anything of its entry is applied.
func TestUndecodableEntryIsAnError(t *testing.T) {
	good := machine.AppendCommand(nil, &machine.Bootstrap{Cluster: "c1"})
	for _, bad := range [][]byte{{0xee}, nil, {}, good[:len(good)-1]} {
		r := server.NewReplica()
		if _, err := r.Apply(1, raftstore.Entry{Commands: [][]byte{good, bad}}); err == nil {
			t.Errorf("%x was applied", bad)
		}
		if got := r.State(); got.Index != 0 || got.Cluster != "" {
			t.Errorf("after %x: %+v", bad, got)
		}
	}
}

func TestNobodyIsServedBeforeTheClusterIsFounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		begin := time.Now()
		found := n.beforeFounding()
		opened := make(chan *client)
		go func() { opened <- open(t, n.api, 1) }() // waits for the leader
		time.Sleep(leaderWait / 2)
		if l, _ := n.log.Leadership(); !l.Leading {
			t.Fatal("it does not lead")
		}
		if err := n.server.Ready(); err == nil {
			t.Error("ready without a cluster")
		}
		found()
		a := <-opened
		if d := time.Since(begin); d != leaderWait/2 {
			t.Errorf("served after %v", d)
		}
		token := a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED).GetToken()
		if floor := uint64(begin.UnixMilli()) << 20; token <= floor { //nolint:gosec // after 1970
			t.Errorf("token %d is not above the floor %d", token, floor)
		}
	})
}

// beforeFounding makes n lead, but not found its cluster.
func (n *node) beforeFounding() (found func()) {
	barrier := n.engine.holdBack()
	n.engine.lead()
	synctest.Wait()
	bootstrap := n.engine.holdNext(barrier)
	synctest.Wait()
	return bootstrap
}

const leaderWait = time.Second

func TestNoLeader(t *testing.T) {
	starts := map[string]func(*testing.T) *node{
		"never had one": func(t *testing.T) *node { return start(t, nil) },
		"lost it": func(t *testing.T) *node {
			n := leading(t)
			n.engine.follow("")
			synctest.Wait() // until it knows
			return n
		},
	}
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				begin := time.Now()
				_, err := n.api.ListSessions(t.Context(), &coordv1.ListSessionsRequest{})
				wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
				if d := time.Since(begin); d != leaderWait {
					t.Errorf("after %v", d)
				}
			})
		})
	}
}

func TestBootstrapIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		found := n.beforeFounding()
		n.engine.failNext(raftstore.ErrUnknown)
		found()
		time.Sleep(time.Second)
		if err := n.server.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestForeignClusterIsFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		foreign := start(t, func(c *server.Config, _ *raftstore.Config) { c.ClusterID = "c2" })
		for i, data := range n.engine.entries {
			entry, err := raftstore.DecodeEntry(data)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := foreign.replica.Apply(uint64(i)+1, entry); err != nil { //nolint:gosec // small
				t.Fatal(err)
			}
		}
		err := <-foreign.served
		foreign.served <- nil // for stop
		if err == nil || errors.Is(err, raftstore.ErrUnknown) {
			t.Errorf("served until %v", err)
		}
		t.Log(err)
		if foreign.server.Ready() == nil {
			t.Error("ready")
		}
	})
}

func TestDuplicateAttachIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		release := n.engine.holdBack()
		a := &client{t: t, api: n.api, instance: 5}
		attached := make(chan error, 1)
		go func() {
			_, err := a.attach(&coordv1.Attach{Ttl: durationpb.New(testTTL)})
			attached <- err
		}()
		synctest.Wait()
		b := &client{t: t, api: n.api, instance: 5}
		_, err := b.attach(&coordv1.Attach{Ttl: durationpb.New(testTTL)})
		wantReason(t, err, coordv1.Reason_REASON_INVALID)
		release()
		if err := <-attached; err != nil {
			t.Error(err)
		}
	})
}

package server_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

func TestLockIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		held := a.send(lockOp("x"))
		first := a.want(held, coordv1.Code_CODE_GRANTED).GetToken()
		waiting := b.send(lockOp("x"))
		if err := n.replica.AwaitWaiters(t.Context(), lockNamed("x"), 1); err != nil {
			t.Fatal(err)
		}
		ended := a.send(endOp(held))
		a.want(ended, coordv1.Code_CODE_DONE)
		if second := b.want(waiting, coordv1.Code_CODE_GRANTED).GetToken(); second <= first {
			t.Errorf("token %d after %d", second, first)
		}
	})
}

func TestExpiryIsTicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		start := time.Now()
		a := open(t, n.api, 1)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		time.Sleep(time.Second)
		b := open(t, n.api, 2)
		b.want(b.send(waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{{Kind: coordv1.Kind_KIND_LOCK, Name: "x"}}})),
			coordv1.Code_CODE_GRANTED)
		if d := time.Since(start); d != testTTL {
			t.Errorf("granted after %v, not the TTL", d)
		}
		a.wantEnd(coordv1.Reason_REASON_SESSION_OVER)
	})
}

func TestLaterStreamCutsEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		held := a.send(lockOp("x"))
		token := a.want(held, coordv1.Code_CODE_GRANTED).GetToken()
		old := *a
		attached, err := a.attach(&coordv1.Attach{
			SessionId: a.id, Wanted: []*coordv1.SeqRange{{First: held, Last: held}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if attached.GetLastSeq() != held {
			t.Errorf("last seq is %d, not %d", attached.GetLastSeq(), held)
		}
		old.wantEnd(coordv1.Reason_REASON_OLD_EPOCH)
		if again := a.want(held, coordv1.Code_CODE_GRANTED).GetToken(); again != token {
			t.Errorf("token %d is now %d", token, again)
		}
		a.want(a.send(noop()), coordv1.Code_CODE_DONE)
	})
}

func TestMachineEndsStream(t *testing.T) {
	tests := map[string]struct {
		do     func(n *node, a *client)
		reason coordv1.Reason
	}{
		"gap": {
			do:     func(_ *node, a *client) { a.seq++; a.send(noop()) },
			reason: coordv1.Reason_REASON_GAP,
		},
		"leave": {
			do: func(_ *node, a *client) {
				leave := a.send(&coordv1.Op{Op: &coordv1.Op_Leave{Leave: &coordv1.Leave{}}})
				a.want(leave, coordv1.Code_CODE_DONE)
			},
			reason: coordv1.Reason_REASON_SESSION_OVER,
		},
		"revoked now": {
			do: func(n *node, a *client) {
				if _, err := n.api.RevokeSession(n.t.Context(), &coordv1.RevokeSessionRequest{SessionId: a.id, Now: true}); err != nil {
					n.t.Fatal(err)
				}
			},
			reason: coordv1.Reason_REASON_SESSION_OVER,
		},
		"replaced": {
			do: func(n *node, a *client) {
				b := &client{t: n.t, api: n.api, instance: a.instance, epoch: a.epoch}
				if _, err := b.attach(&coordv1.Attach{
					Ttl: durationpb.New(testTTL), ReplacesId: a.id, ReplacesSecret: a.secret(),
				}); err != nil {
					n.t.Fatal(err)
				}
			},
			reason: coordv1.Reason_REASON_SESSION_OVER,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				a := open(t, n.api, 1)
				test.do(n, a)
				a.wantEnd(test.reason)
			})
		})
	}
}

func TestRevokedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		held := a.send(lockOp("x"))
		a.want(held, coordv1.Code_CODE_GRANTED)
		if _, err := n.api.RevokeSession(t.Context(), &coordv1.RevokeSessionRequest{SessionId: a.id}); err != nil {
			t.Fatal(err)
		}
		a.want(held, coordv1.Code_CODE_RECALLED)
		info := a.wantEnd(coordv1.Reason_REASON_SESSION_OVER) // at its TTL
		if info.GetMetadata()["revoked"] != "true" {
			t.Errorf("metadata is %v", info.GetMetadata())
		}
	})
}

func TestAttachIsRefused(t *testing.T) {
	fresh := func() *coordv1.Attach {
		return &coordv1.Attach{Secret: make([]byte, 16), Instance: 7, Epoch: 1, Ttl: durationpb.New(testTTL)}
	}
	with := func(change func(*coordv1.Attach)) *coordv1.Attach {
		a := fresh()
		change(a)
		return a
	}
	tests := map[string]struct {
		attach *coordv1.Attach
		reason coordv1.Reason
	}{
		"no secret":       {with(func(a *coordv1.Attach) { a.Secret = nil }), coordv1.Reason_REASON_INVALID},
		"long secret":     {with(func(a *coordv1.Attach) { a.Secret = make([]byte, 17) }), coordv1.Reason_REASON_INVALID},
		"no instance":     {with(func(a *coordv1.Attach) { a.Instance = 0 }), coordv1.Reason_REASON_INVALID},
		"no epoch":        {with(func(a *coordv1.Attach) { a.Epoch = 0 }), coordv1.Reason_REASON_INVALID},
		"no TTL":          {with(func(a *coordv1.Attach) { a.Ttl = nil }), coordv1.Reason_REASON_INVALID},
		"TTL 0":           {with(func(a *coordv1.Attach) { a.Ttl = durationpb.New(0) }), coordv1.Reason_REASON_INVALID},
		"negative TTL":    {with(func(a *coordv1.Attach) { a.Ttl = durationpb.New(-time.Second) }), coordv1.Reason_REASON_INVALID},
		"TTL too short":   {with(func(a *coordv1.Attach) { a.Ttl = durationpb.New(499 * time.Millisecond) }), coordv1.Reason_REASON_INVALID},
		"TTL too long":    {with(func(a *coordv1.Attach) { a.Ttl = durationpb.New(24*time.Hour + 1) }), coordv1.Reason_REASON_INVALID},
		"TTL is nonsense": {with(func(a *coordv1.Attach) { a.Ttl = &durationpb.Duration{Seconds: 10, Nanos: -5} }), coordv1.Reason_REASON_INVALID},
		"long who": {with(func(a *coordv1.Attach) { a.Who = &coordv1.Who{Name: strings.Repeat("x", 4096)} }),
			coordv1.Reason_REASON_INVALID},
		"ranges unsorted": {with(func(a *coordv1.Attach) {
			a.Wanted = []*coordv1.SeqRange{{First: 5, Last: 6}, {First: 6, Last: 9}}
		}), coordv1.Reason_REASON_INVALID},
		"range of nothing": {with(func(a *coordv1.Attach) { a.Wanted = []*coordv1.SeqRange{{First: 2, Last: 1}} }),
			coordv1.Reason_REASON_INVALID},
		"takes up and replaces": {with(func(a *coordv1.Attach) {
			a.SessionId, a.ReplacesId, a.ReplacesSecret = 1, 2, make([]byte, 16)
		}), coordv1.Reason_REASON_INVALID},
		"replaces without secret": {with(func(a *coordv1.Attach) { a.ReplacesId = 2 }), coordv1.Reason_REASON_INVALID},
		"session that never was":  {with(func(a *coordv1.Attach) { a.SessionId = 99 }), coordv1.Reason_REASON_SESSION_OVER},
		"somebody else's session": {with(func(a *coordv1.Attach) { a.SessionId = 1 }), coordv1.Reason_REASON_NOT_YOURS},
		"old epoch": {with(func(a *coordv1.Attach) {
			a.SessionId, a.Instance, a.Secret[0] = 1, 1, 1
		}), coordv1.Reason_REASON_OLD_EPOCH},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				if a := open(t, n.api, 1); a.id != 1 {
					t.Fatalf("the first session is %d", a.id)
				}
				stream, err := n.api.Attach(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(&coordv1.AttachRequest{
					Frame: &coordv1.AttachRequest_Attach{Attach: test.attach},
				}); err != nil {
					t.Fatal(err)
				}
				_, err = stream.Recv()
				wantReason(t, err, test.reason)
				t.Log(err)
			})
		})
	}
}

func TestBadArgumentSpendsItsSeq(t *testing.T) {
	arm := func(kind coordv1.Kind, name string, count, limit int64) *coordv1.Op {
		return waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{{Kind: kind, Name: name, Count: count, Limit: limit}}})
	}
	limited := func(change func(*coordv1.Wait)) *coordv1.Op {
		op := lockOp("x")
		change(op.GetWait())
		return op
	}
	many := make([]*coordv1.Arm, 1025)
	for i := range many {
		many[i] = &coordv1.Arm{Kind: coordv1.Kind_KIND_LOCK, Name: fmt.Sprintf("l%04d", i)}
	}
	lock, sem := coordv1.Kind_KIND_LOCK, coordv1.Kind_KIND_SEMAPHORE
	ops := map[string]*coordv1.Op{
		"empty name":          lockOp(""),
		"257 bytes":           lockOp(strings.Repeat("x", 257)),
		"a megabyte":          lockOp(strings.Repeat("x", 1<<20-100)),
		"control character":   lockOp("a\x07b"),
		"no kind":             arm(coordv1.Kind_KIND_UNSPECIFIED, "x", 1, 0),
		"unknown kind":        arm(257, "x", 1, 0),
		"0 permits":           arm(sem, "s", 0, 3),
		"negative permits":    arm(sem, "s", -1, 3),
		"permits above limit": arm(sem, "s", 4, 3),
		"negative limit":      arm(sem, "s", 1, -3),
		"no arms":             waitOp(&coordv1.Wait{}),
		"1,025 arms":          waitOp(&coordv1.Wait{Arms: many, Commit: coordv1.Commit_COMMIT_ALL}),
		"unknown commit":      limited(func(w *coordv1.Wait) { w.Commit = 256 + 1 }),
		"long note":           limited(func(w *coordv1.Wait) { w.Note = strings.Repeat("n", 4097) }),
		"negative limit of wait": limited(func(w *coordv1.Wait) {
			w.WaitLimit = durationpb.New(-1)
		}),
		"nonsense limit of wait": limited(func(w *coordv1.Wait) {
			w.WaitLimit = &durationpb.Duration{Seconds: math.MaxInt64}
		}),
		"long lock-delay": limited(func(w *coordv1.Wait) { w.LockDelay = durationpb.New(25 * time.Hour) }),
		"resize to 0":     {Op: &coordv1.Op_Resize{Resize: &coordv1.Resize{Name: "s"}}},
		"end of itself":   endOp(2),
		"no op":           {},
		"two arms, one bad": waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{
			{Kind: lock, Name: "ok"}, {Kind: lock, Name: ""},
		}}),
	}
	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				a := open(t, n.api, 1)
				a.want(a.send(noop()), coordv1.Code_CODE_DONE)
				a.want(a.send(op), coordv1.Code_CODE_INVALID)
				a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
			})
		})
	}
}

func TestBadFrameEndsItsCallOnly(t *testing.T) {
	ops := make([]*coordv1.Op, 16<<10+1)
	for i := range ops {
		ops[i] = noop()
	}
	frames := map[string]struct {
		frame  *coordv1.AttachRequest
		reason coordv1.Reason
	}{
		"empty":    {&coordv1.AttachRequest{}, coordv1.Reason_REASON_INVALID},
		"attach":   {&coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Attach{Attach: &coordv1.Attach{}}}, coordv1.Reason_REASON_INVALID},
		"many ops": {frame(ops...), coordv1.Reason_REASON_INVALID},
		"bad ranges": {&coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Ops{Ops: &coordv1.Ops{
			Acknowledged: []*coordv1.SeqRange{{First: 0, Last: 1}},
		}}}, coordv1.Reason_REASON_INVALID},
	}
	for name, test := range frames {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				a, b := open(t, n.api, 1), open(t, n.api, 2)
				a.sendFrame(test.frame)
				a.wantEnd(test.reason)
				b.want(b.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
				if _, err := a.attach(&coordv1.Attach{SessionId: a.id}); err != nil {
					t.Errorf("the session did not survive it: %v", err)
				}
			})
		})
	}
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	data, ok := v.([]byte)
	if !ok {
		return nil, errors.New("not bytes")
	}
	return data, nil
}

func (rawCodec) Unmarshal([]byte, any) error { return nil }

func TestGarbageEndsItsCallOnly(t *testing.T) {
	tests := map[string]struct {
		bytes []byte
		code  codes.Code // gRPC's own
	}{
		"no message": {[]byte{0xff, 0xff, 0xff}, codes.Internal},
		// Ops with a Describe whose name is not UTF-8.
		"not UTF-8": {[]byte{0x12, 0x07, 0x0a, 0x05, 0x32, 0x03, 0x12, 0x01, 0xff}, codes.Internal},
		"too large": {make([]byte, 1<<20+1), codes.ResourceExhausted},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := leading(t)
				b := open(t, n.api, 1)
				stream, err := n.conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
					coordv1.SessionService_Attach_FullMethodName, grpc.ForceCodec(rawCodec{}))
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.SendMsg(test.bytes); err != nil {
					t.Fatal(err)
				}
				var got []byte
				if err := stream.RecvMsg(&got); status.Code(err) != test.code {
					t.Errorf("got %v, not %v", err, test.code)
				}
				b.want(b.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
			})
		})
	}
}

func TestSilentStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		start := time.Now()
		stream, err := n.api.Attach(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantReason(t, err, coordv1.Reason_REASON_INVALID)
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestHalfCloseGetsItsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		release := n.engine.holdBack()
		first := a.send(lockOp("x"), lockOp("y"))
		second := a.send(lockOp("x")) // parks
		if err := a.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		release()
		a.want(first, coordv1.Code_CODE_GRANTED)
		a.want(first+1, coordv1.Code_CODE_GRANTED)
		if o, err := a.recv(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, %v for seq %d", o, err, second)
		}
	})
}

func TestEachSeqIsAnsweredOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		const frames, each = 4, 8 << 10
		go func() {
			for f := range uint64(frames) {
				ops := make([]*coordv1.Op, each)
				for i := range ops {
					ops[i] = noop()
					ops[i].Seq = f*each + uint64(i) + 1 //nolint:gosec // small
				}
				a.sendFrame(frame(ops...))
			}
		}()
		for seq := range uint64(frames * each) {
			a.want(seq+1, coordv1.Code_CODE_DONE)
		}
	})
}

func TestUnreadOutboxIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		var sender sync.WaitGroup
		sender.Go(func() { // until the server reads no more of a stream that it has cut
			// Of 48 bytes each in the outbox. At most 8 frames are in gRPC's windows, and 10 with
			// the handler that cannot send them: neither counts.
			for range 40 {
				ops := make([]*coordv1.Op, 16<<10)
				for i := range ops {
					ops[i] = noop()
				}
				a.send(ops...)
			}
		})
		synctest.Wait()
		b.want(b.send(noop()), coordv1.Code_CODE_DONE)
		for err := error(nil); ; {
			if _, err = a.recv(); err != nil {
				wantReason(t, err, coordv1.Reason_REASON_OVERLOADED)
				break
			}
		}
		sender.Wait()
		if _, err := a.attach(&coordv1.Attach{SessionId: a.id}); err != nil {
			t.Error(err)
		}
	})
}

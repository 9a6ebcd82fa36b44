package client_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
)

// A node that answers the first of two frames and then nothing is asked whether it is
// alive; one with which a wait is parked is asked once.
func TestSilenceAfterAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := 0
		frames, release := make(chan *coordv1.Ops, 9), make(chan struct{})
		n := &scripted{
			status: func() {
				mu.Lock()
				defer mu.Unlock()
				asked++
			},
			stream: func(_ *coordv1.Attach, s coordv1.SessionService_AttachServer) error {
				for i := 0; ; i++ {
					req, err := s.Recv()
					if err != nil {
						return err
					}
					frames <- req.GetOps()
					if i != 1 {
						continue
					}
					<-release
					if err := s.Send(&coordv1.AttachResponse{Frame: &coordv1.AttachResponse_Outcomes{Outcomes: &coordv1.Outcomes{
						Outcomes: []*coordv1.Outcome{{Seq: 1, Code: coordv1.Code_CODE_GRANTED, Token: 7}},
					}}}); err != nil {
						return err
					}
				}
			},
		}
		times := func() int {
			mu.Lock()
			defer mu.Unlock()
			return asked
		}
		c := n.dial(t)
		before := times()
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		defer calls.Wait()
		defer cancel()
		for _, name := range []string{"granted", "parked"} {
			calls.Go(func() { _, _ = c.Mutex(name, client.WithNote(name)).LockContext(ctx) })
			if ops := <-frames; len(ops.GetOps()) != 1 {
				t.Fatalf("a frame of %d", len(ops.GetOps()))
			}
		}
		time.Sleep(400 * time.Millisecond) // it may be silent for longer
		close(release)
		time.Sleep(450 * time.Millisecond) // for so long since it said something too
		if n := times() - before; n != 0 {
			t.Errorf("asked %d times too early", n)
		}
		time.Sleep(20 * time.Second) // before it is asked who the members are
		if n := times() - before; n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

package client_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

// tooMuch is what a node says that will take more later.
func tooMuch(t *testing.T, reason string, retry time.Duration) error {
	t.Helper()
	st, err := status.New(codes.ResourceExhausted, "stream: busy").WithDetails(
		&errdetails.ErrorInfo{Domain: "coordd.dev", Reason: reason},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}

// Who opens sessions too fast, or has as many as it may, is refused and comes again by itself,
// not before it is told to.
func TestRefusedSessionIsOpenedLater(t *testing.T) {
	for _, reason := range []string{"OVERLOADED", "LIMIT"} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const retry, refusals = 500 * time.Millisecond, 3
				busy, began := tooMuch(t, reason, retry), time.Now()
				var tries atomic.Int64
				n := &scripted{
					attach: func() error {
						if tries.Add(1) <= refusals {
							return busy
						}
						return nil
					},
					stream: func(_ *coordv1.Attach, s coordv1.SessionService_AttachServer) error {
						<-s.Context().Done()
						return nil
					},
				}
				n.dial(t)
				if took := time.Since(began); tries.Load() != refusals+1 || took < refusals*retry {
					t.Errorf("%d tries in %v", tries.Load(), took)
				}
			})
		})
	}
}

// A node that has too much to do lets a session attach and refuses what it asks. It is
// left alone for as long as it says, and longer each time.
func TestOverloadIsNotAddedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const retry = 200 * time.Millisecond
		busy := tooMuch(t, "OVERLOADED", retry)
		var attached atomic.Int64
		n := &scripted{stream: func(_ *coordv1.Attach, s coordv1.SessionService_AttachServer) error {
			attached.Add(1)
			if _, err := s.Recv(); err != nil {
				return err
			}
			return busy
		}}
		c := n.dial(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := c.Mutex("m").LockContext(ctx)
		wantErr(t, err, context.DeadlineExceeded)
		// From 200 ms to 1.2 s and a half, at random.
		if n := attached.Load(); n < 5 || n > 25 {
			t.Errorf("attached %d times in 10 s", n)
		}
	})
}

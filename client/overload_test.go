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

// A node that has too much to do lets a session attach and refuses what it asks. It is
// left alone for as long as it says, and longer each time.
func TestOverloadIsNotAddedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const retry = 200 * time.Millisecond
		busy, err := status.New(codes.ResourceExhausted, "stream: busy").WithDetails(
			&errdetails.ErrorInfo{Domain: "coordd.dev", Reason: "OVERLOADED"},
			&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
		if err != nil {
			t.Fatal(err)
		}
		var attached atomic.Int64
		n := &scripted{stream: func(_ *coordv1.Attach, s coordv1.SessionService_AttachServer) error {
			attached.Add(1)
			if _, err := s.Recv(); err != nil {
				return err
			}
			return busy.Err()
		}}
		c := n.dial(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = c.Mutex("m").LockContext(ctx)
		wantErr(t, err, context.DeadlineExceeded)
		// From 200 ms to 1.2 s and a half, at random.
		if n := attached.Load(); n < 5 || n > 25 {
			t.Errorf("attached %d times in 10 s", n)
		}
	})
}

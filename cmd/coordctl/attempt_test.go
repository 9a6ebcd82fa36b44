package main

import (
	"bytes"
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A signal that comes together with the grant, or with the end of -w, is either the
// reason why nothing is run, or still there for the command; it is never swallowed.
func TestSignalThatRacesTheGrant(t *testing.T) {
	for range 1000 {
		ctx, cancel := context.WithCancelCause(t.Context())
		a := &attempt{signals: make(chan os.Signal, 1)}
		caught := a.watch(ctx, cancel)
		a.signals <- syscall.SIGTERM
		cancel(errNotInTime)
		i := caught()
		if i != nil && i.sig != syscall.SIGTERM {
			t.Fatalf("caught %v", i.sig)
		}
		if left := len(a.signals); (i != nil) == (left == 1) {
			t.Fatalf("caught %v, and %d are left", i, left)
		}
	}
}

// A losing is a hold that is lost while it is released.
type losing struct{ holding }

func (losing) Err() error                   { return nil }
func (losing) Unlock(context.Context) error { return &client.LostError{Reason: client.ReasonRevoked} }

// A hold that was lost at the last moment is free: there is nothing to confirm.
func TestLostWhileReleased(t *testing.T) {
	var stderr bytes.Buffer
	a := testAttempt(order{})
	a.stderr = &stderr
	a.end(t.Context(), coordtest.New(t).Dial(client.WithTTL(time.Hour)), losing{})
	if stderr.Len() > 0 {
		t.Error(&stderr)
	}
}

package main

import (
	"context"
	"os"
	"syscall"
	"testing"
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

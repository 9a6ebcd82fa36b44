package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
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

// A run whose session is lost while it is being done takes nothing off the group that others
// have added meanwhile.
func TestDoneOfALostSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 2 * time.Second
		cluster := coordtest.New(t)
		c, other := cluster.Dial(client.WithTTL(ttl)), cluster.Dial()
		run, err := testAttempt(order{want: claim{kind: kindWaitGroup, name: "round"}}).join(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		cluster.Pause(c)
		done := make(chan error)
		go func() { done <- run.Unlock(t.Context()) }()
		time.Sleep(2 * ttl) // the group is cut short
		other.WaitGroup("round").Add(1)
		cluster.Resume(c)
		if err := <-done; !errors.Is(err, client.ErrLost) {
			t.Error(err)
		}
		time.Sleep(time.Minute) // with another session
		d, err := other.Describe(t.Context(), client.KindWaitGroup, "round")
		if err != nil {
			t.Fatal(err)
		}
		if d.Held != 1 {
			t.Errorf("it counts %d", d.Held)
		}
	})
}

package client_test

import (
	"context"
	"errors"
	"flag"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

func TestMain(m *testing.M) {
	// Each is a program on a cluster; -rapid.checks says otherwise.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// TestLockOfAClosedClient: that they never return is what is documented.
		goleak.IgnoreAnyFunction("coordd.dev/client.(*courier).park"))
}

// inBubble runs f with a cluster of n nodes in virtual time.
func inBubble(t *testing.T, n int, f func(t *testing.T, cluster *coordtest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, coordtest.NewCluster(t, n)) })
}

// must returns v unless err is an error.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantErr fails the test unless err is all of the targets.
func wantErr(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("got %v, which is not %v", err, target)
		}
	}
}

// wantHeld fails the test unless the object has so many holders and waiters.
func wantHeld(t *testing.T, c *client.Client, kind client.Kind, name string, holders, waiting int) {
	t.Helper()
	d, err := c.Describe(context.Background(), kind, name)
	if errors.Is(err, client.ErrNotFound) {
		d = &client.Description{}
	} else if err != nil {
		t.Fatal(err)
	}
	if len(d.Holders) != holders || d.Waiting != waiting {
		t.Errorf("%v %s has %d holders and %d waiters, want %d and %d", kind, name, len(d.Holders), d.Waiting, holders, waiting)
	}
}

// pass locks and unlocks.
func pass(l sync.Locker) {
	l.Lock()
	defer l.Unlock()
}

// panicOf returns what f panics with.
func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

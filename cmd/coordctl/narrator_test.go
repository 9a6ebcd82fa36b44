package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A cluster that says nothing keeps nobody who gave -w for more than a second longer, with
// whatever --timeout.
func TestWaitIsLateByASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 1)
		c := cluster.Dial(client.WithTTL(time.Hour))
		cluster.Pause(c)
		a := testAttempt(order{wait: quiet + quiet/2, answer: time.Hour})
		a.stderr = &bytes.Buffer{}
		ctx, giveUp := context.WithCancelCause(t.Context())
		start := time.Now()
		n := a.narrate(ctx, giveUp, c)
		<-ctx.Done()
		if late := time.Since(start) - a.wait; late != factsLimit || !errors.Is(context.Cause(ctx), errNotInTime) {
			t.Errorf("late by %v: %v", late, context.Cause(ctx))
		}
		if facts := n.stop(); facts != "" {
			t.Errorf("facts of a silent cluster: %s", facts)
		}
		cluster.Resume(c)
	})
}

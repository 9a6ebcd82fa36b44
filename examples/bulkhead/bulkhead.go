package main

import (
	"context"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// A bulkhead lets so many calls through at a time, of all processes together.
type bulkhead struct{ permits *client.Semaphore }

func newBulkhead(c *client.Client, p stage.Part) *bulkhead {
	return &bulkhead{c.Semaphore(p.Object("backend"), limit)}
}

// do runs f with a permit, or returns a *client.BusyError at once: a bulkhead has no queue,
// so that what is slow behind it does not make everything slow before it.
//
// f's ctx ends also when the permit is lost, because this process was cut off for longer
// than its lease. Then the permit is soon somebody else's, and f must be over.
func (b *bulkhead) do(ctx context.Context, f func(ctx context.Context) error) error {
	h, err := b.permits.TryAcquireHold(ctx, 1)
	if err != nil {
		return err
	}
	return h.Do(ctx, func(ctx context.Context, _ client.Token) error { return f(ctx) })
}

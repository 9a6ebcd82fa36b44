package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// A result is what a worker makes of n.
type result struct {
	N    int
	Text string
	By   string
}

func workOf(c *client.Client, p stage.Part) *client.Chan[int] {
	return client.NewChan[int](c, p.Object("work"), window)
}

// resultsOf is the channel of one worker.
func resultsOf(c *client.Client, p stage.Part, worker string) *client.Chan[result] {
	return client.NewChan[result](c, p.Object("results/"+worker), 1)
}

// work is a worker. It acknowledges its work when the result is handed in; if it dies
// before, another does that work, and if just then, the result comes twice.
func work(ctx context.Context, c *client.Client, p stage.Part, do func(ctx context.Context, n int) (string, error)) error {
	out := resultsOf(c, p, p.Name)
	for d, err := range workOf(c, p).Deliveries(ctx) {
		if err != nil {
			return err
		}
		text, err := do(ctx, d.Value)
		if err != nil {
			return err
		}
		if err := out.SendContext(ctx, result{d.Value, text, p.Name}); err != nil {
			return err
		}
		if err := d.Ack(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fan gives out the numbers from 0 to n-1, and calls each with their results, in order.
func fan(ctx context.Context, c *client.Client, p stage.Part, workers []string, n int, each func(result)) error {
	ctx, stop := context.WithCancelCause(ctx)
	ahead := make(chan struct{}, window) // of this process: a place for each that is under way
	var out sync.WaitGroup
	out.Go(func() {
		if err := spread(ctx, workOf(c, p), n, ahead); err != nil {
			stop(fmt.Errorf("spread the work: %w", err))
		}
	})
	err := gather(ctx, c, p, workers, n, func(r result) {
		<-ahead
		each(r)
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	stop(errors.New("nobody takes the results")) // if gather has failed
	out.Wait()
	return err
}

func spread(ctx context.Context, work *client.Chan[int], n int, ahead chan<- struct{}) error {
	for i := range n {
		select {
		case ahead <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := work.SendContext(ctx, i); err != nil {
			return err
		}
	}
	return work.CloseContext(ctx)
}

// gather takes results from whichever worker has one. It ends by their number: a worker
// that has died closes nothing.
func gather(ctx context.Context, c *client.Client, p stage.Part, workers []string, n int, each func(result)) error {
	var cases []client.Case
	for _, w := range workers {
		cases = append(cases, resultsOf(c, p, w).OnRecv())
	}
	early := make(map[int]result) // fewer than window
	for next := 0; next < n; {
		got, err := client.Select(ctx, cases...)
		if err != nil {
			return err
		}
		r := got.(*client.RecvCase[result]).Value //nolint:forcetypeassert // all cases are
		if r.N < next {
			continue // it has come before
		}
		early[r.N] = r
		for r, ok := early[next]; ok; r, ok = early[next] {
			delete(early, next)
			each(r)
			next++
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"coordd.dev/client"
)

// A replica runs the job while it leads.
type replica struct {
	name  string
	every time.Duration
	// job is given the leadership's ctx, which ends if it is lost, and the term, for
	// whatever it writes to: a late write carries an old one.
	job func(ctx context.Context, term client.Token) error
	say func(string)
}

// run campaigns, leads, and after a loss campaigns again, until ctx ends: it is told to
// stop.
//
// [client.Election.Run] is this loop for work that ends with ctx. Here the job in hand is
// to be finished, so it has the ctx of its leadership alone.
func (r *replica) run(ctx context.Context, c *client.Client) error {
	e := c.Election("cronleader")
	var watching sync.WaitGroup
	defer watching.Wait()
	watch, stop := context.WithCancel(ctx)
	defer stop() // run may end with an error, and ctx live
	watching.Go(func() { r.watch(watch, e) })
	for {
		l, err := e.Campaign(ctx, r.name)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.lead(ctx, l); err != nil {
			return err
		}
	}
}

// lead runs the job every so often, until l is lost or ctx ends. It resigns when nothing
// runs under l any more.
func (r *replica) lead(ctx context.Context, l *client.Leadership) error {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for ctx.Err() == nil && l.Err() == nil {
		select {
		case <-tick.C:
			if err := r.job(l.Context(), l.Token()); err != nil {
				r.say("job failed: " + err.Error())
			}
		case <-ctx.Done():
		case <-l.Lost():
		}
	}
	err := l.Resign(context.WithoutCancel(ctx)) // waits until the cluster has it
	if errors.Is(err, client.ErrLost) {
		return nil // the loss was no fault of the job's: campaign again
	}
	if err == nil {
		r.say("resigned")
	}
	return err
}

// watch tells who leads, as it changes.
func (r *replica) watch(ctx context.Context, e *client.Election) {
	for l, err := range e.Observe(ctx) {
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.say("watch: " + err.Error())
		case l.Vacant:
			r.say("nobody leads")
		default:
			r.say(fmt.Sprintf("%s leads, term %v", l.Value, l.Term))
		}
	}
}

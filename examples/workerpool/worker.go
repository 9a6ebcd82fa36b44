package main

import (
	"context"
	"errors"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

type job struct{ ID int }

// feed sends n jobs and says that there are no more.
func feed(ctx context.Context, c *client.Client, p stage.Part, n int) error {
	jobs := client.NewChan[job](c, p.Object("jobs"), capacity)
	for id := range n {
		if err := jobs.SendContext(ctx, job{id + 1}); err != nil {
			return err
		}
	}
	return jobs.CloseContext(ctx)
}

// work does jobs until there are no more, or ctx ends: it is told to stop. The job in hand
// is finished then.
func work(ctx context.Context, c *client.Client, p stage.Part, do func(context.Context, job) error) error {
	jobs := client.NewChan[job](c, p.Object("jobs"), capacity)
	done := client.NewMap[int, string](c, p.Object("done"))
	for d, err := range jobs.Deliveries(ctx) {
		if err != nil {
			return err
		}
		p.Say("begins job %d, attempt %d", d.Value.ID, d.Attempt)
		// d's ctx is not ended by ours, only by the loss of d: then the job is somebody else's.
		if err := do(d.Context(), d.Value); err != nil {
			p.Say("gives job %d back: %v", d.Value.ID, err)
			continue // what is not acknowledged goes back to the head of the channel
		}
		// A worker may die here, and the job be done twice: at least once is not once. So its
		// effect is one that can be repeated: the first to store it has it.
		if _, _, err := done.LoadOrStoreContext(d.Context(), d.Value.ID, p.Name); err != nil {
			return err
		}
		switch err := d.Ack(context.WithoutCancel(ctx)); {
		case errors.Is(err, client.ErrLost):
			p.Say("was too late with job %d", d.Value.ID)
		case err != nil:
			return err
		default:
			p.Say("did job %d", d.Value.ID)
		}
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// look is how often the counts are looked at, and made.
const look = 200 * time.Millisecond

// An operator decides about rollouts while it leads.
type operator struct {
	part     stage.Part
	election *client.Election
	rollouts *client.Map[string, rollout]
	counts   *client.Map[string, count]
}

func newOperator(c *client.Client, p stage.Part) *operator {
	return &operator{
		part:     p,
		election: c.Election(p.Object("operator")),
		rollouts: client.NewMap[string, rollout](c, p.Object("rollouts")),
		counts:   client.NewMap[string, count](c, p.Object("counts")),
	}
}

// run waits its turn, leads, and after a loss waits again, until ctx ends.
func (o *operator) run(ctx context.Context) error {
	return o.election.Run(ctx, o.part.Name, func(ctx context.Context, term client.Token) error {
		o.part.Say("leads")
		tick := time.NewTicker(look)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := o.decide(ctx, term); err != nil {
					return fmt.Errorf("decide: %w", err)
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
}

// decide looks at the rollout that is there, and at what the replicas say of it. Each change
// is a CompareAndSwap: an operator that does not lead any more changes nothing, since the
// next one has put its own term there before it read any count.
func (o *operator) decide(ctx context.Context, term client.Token) error {
	r, ok, err := o.rollouts.LoadContext(ctx, service)
	if err != nil || !ok || r.State != rising {
		return err
	}
	next := r
	if r.Term != term {
		next.Term = term
	} else {
		counts, err := o.read(ctx)
		if err != nil {
			return err
		}
		if next = r.judged(counts); next == r {
			return nil
		}
	}
	o.part.Say("decides: %s", next)
	swapped, err := o.rollouts.CompareAndSwapContext(ctx, service, r, next)
	switch {
	case err != nil:
		return err
	case swapped:
		o.part.Say("%s", next)
	default:
		o.part.Say("somebody else was first: looks again")
	}
	return nil
}

func (o *operator) read(ctx context.Context) (counts []count, err error) {
	for e, err := range o.counts.All(ctx) {
		if err != nil {
			return nil, err
		}
		counts = append(counts, e.Value)
	}
	return counts, nil
}

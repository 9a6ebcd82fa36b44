package main

import (
	"context"
	"errors"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// An element keeps its number on the way, by which a later stage knows one that comes twice.
type element struct{ Seq, Value int }

func numbers(c *client.Client, p stage.Part) *client.Chan[element] {
	return client.NewChan[element](c, p.Object("numbers"), capacity)
}

func squares(c *client.Client, p stage.Part) *client.Chan[element] {
	return client.NewChan[element](c, p.Object("squares"), capacity)
}

// generate sends the numbers from 1 to n. A send waits while the channel is full.
func generate(ctx context.Context, c *client.Client, p stage.Part, n int) error {
	out := numbers(c, p)
	for i := range n {
		if err := out.SendContext(ctx, element{i + 1, i + 1}); err != nil {
			return err
		}
		p.Say("sent %d", i+1)
	}
	p.Say("closes its channel")
	return out.CloseContext(ctx)
}

// square passes on the square of each number. It acknowledges a number when its square is
// in the next channel: if it dies before, it can be started again and nothing is missing.
//
// Its lock is there for order alone: a second life begins when the first is over and its
// number is back at the head of the channel, else it would take the next number first.
func square(ctx context.Context, c *client.Client, p stage.Part) error {
	return c.Mutex(p.Object("square")).Do(ctx, func(ctx context.Context, _ client.Token) error {
		out := squares(c, p)
		for d, err := range numbers(c, p).Deliveries(ctx) {
			if err != nil {
				return err
			}
			e := d.Value
			e.Value *= e.Value
			if err := out.SendContext(ctx, e); err != nil {
				return err
			}
			if err := d.Ack(ctx); err != nil {
				return err
			}
		}
		// The numbers are closed, drained, and all acknowledged.
		p.Say("has drained the numbers, and closes its channel")
		if err := out.CloseContext(ctx); !errors.Is(err, client.ErrClosed) { // else by another life
			return err
		}
		return nil
	})
}

// add is the last stage. What the stage before it sent twice, in two lives, it counts once.
// Numbers only rise but for those.
func add(ctx context.Context, c *client.Client, p stage.Part, each func(context.Context, element) error) (total int, err error) {
	last := 0
	for e, err := range squares(c, p).All(ctx) {
		if err != nil {
			return total, err
		}
		if e.Seq <= last {
			continue
		}
		last = e.Seq
		total += e.Value
		if err := each(ctx, e); err != nil {
			return total, err
		}
	}
	p.Say("has drained the squares")
	return total, nil
}

package main

import (
	"context"
	"errors"
	"fmt"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// capacity of each service's channel. The channels go in a circle, so it is more than there
// are orders on the way: else services could wait for each other to have room. A semaphore
// of as many permits, taken by who places an order, makes sure of that.
const capacity = 1024

// A service reacts to the events of its channel. Several processes may be the same service.
type service struct {
	part   stage.Part
	client *client.Client
	rules  map[fact]rule
	events *client.Chan[event]
	// done stands for the service's own database, where what it did and the event that it
	// did it for are in one transaction.
	done *client.Map[string, event]
}

func newService(c *client.Client, p stage.Part, name string) *service {
	return &service{
		part:   p,
		client: c,
		rules:  services()[name],
		events: client.NewChan[event](c, p.Object(name), capacity),
		done:   client.NewMap[string, event](c, p.Object(name+"/done")),
	}
}

// run reacts until ctx ends. An event is acknowledged when what follows from it is sent; if
// the process dies before, the next one is sent both again, and what follows comes twice.
func (s *service) run(ctx context.Context) error {
	for d, err := range s.events.Deliveries(ctx) {
		if err != nil {
			return err
		}
		if err := s.react(ctx, d.Value); err != nil {
			return fmt.Errorf("react to %q: %w", d.Value.key(), err)
		}
		// If it was lost it comes again, to whoever, and is known.
		if err := d.Ack(ctx); err != nil && !errors.Is(err, client.ErrLost) {
			return err
		}
	}
	return nil
}

// react does what an event asks for, once, and tells of it, each time: whoever did it may
// have died before it could.
func (s *service) react(ctx context.Context, e event) error {
	r, ok := s.rules[e.What]
	if !ok {
		return errors.New("there is no rule for it: is an older version of this service running?")
	}
	did, again, err := s.done.LoadOrStoreContext(ctx, e.key(), r.does(e))
	if err != nil {
		return err
	}
	note := ""
	if again {
		note = ", as before"
	}
	s.part.Say("%s: %s%s", did.Order, did, note)
	to, ok := r.tells[did.What]
	if !ok {
		return nil
	}
	return client.NewChan[event](s.client, s.part.Object(to), capacity).SendContext(ctx, did)
}

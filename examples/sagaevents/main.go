// Sagaevents is an order over three services without anybody who leads it: each reacts to
// what the others say has happened.
//
//	go run ./examples/sagaevents
//
// An order that is accepted is paid for, and one that is paid for is taken from stock. If
// stock refuses, payment hears that and refunds; that it has, the order service hears, and
// cancels. So what was done is undone in reverse, and no process knows the whole way. A
// service that is killed is followed by another one of its kind, which gets what was not
// acknowledged, and finds what was done already.
//
// It takes less than an orchestrator (examples/sagaorchestrated), and says less: how far an
// order has come is known only by asking all services. Use it for ways that are short and
// seldom change.
//
// What is yours to copy is in service.go and rules.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// lease is short, so that the story need not wait long after a death.
const lease = 3 * time.Second

func main() { os.Exit(stage.Run(play())) }

func play() stage.Play {
	p := stage.Play{Name: "sagaevents", Story: story, Roles: map[string]stage.Role{"customer": customer}}
	for name := range services() {
		p.Roles[name] = func(ctx context.Context, p stage.Part) error { return serve(ctx, p, name) }
		p.Leaves = append(p.Leaves, client.Ref{Kind: client.KindMap, Name: name + "/done"})
	}
	return p
}

func serve(ctx context.Context, p stage.Part, name string) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(lease))
	if err != nil {
		return err
	}
	defer c.Close()
	return newService(c, p, name).run(ctx)
}

// customer orders what its argument says, and says what comes of it.
func customer(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name))
	if err != nil {
		return err
	}
	defer c.Close()
	var count int
	if _, err := fmt.Sscanf(strings.Join(p.Args, " "), "%d lamps", &count); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	p.Say("orders %d lamps", count)
	end, err := place(ctx, c, p, count)
	if err != nil {
		return err
	}
	p.Say("it is %s", end)
	return nil
}

// place sends an order, and waits until the order service has it as over.
func place(ctx context.Context, c *client.Client, p stage.Part, count int) (event, error) {
	of := newService(c, p, "order")
	if err := of.events.SendContext(ctx, event{Order: p.Name, What: placed, Count: count}); err != nil {
		return event{}, fmt.Errorf("place order: %w", err)
	}
	for {
		for e, err := range of.done.Watch(ctx, 0) {
			switch {
			case errors.Is(err, client.ErrSkipped): // start afresh
			case err != nil:
				return event{}, fmt.Errorf("await the end of the order: %w", err)
			case e.Value.Order == p.Name && (e.Value.What == completed || e.Value.What == cancelled):
				return e.Value, nil
			}
		}
	}
}

// story has three orders; in the middle of the third the payment service is killed.
func story(ctx context.Context, s *stage.Stage) error {
	started := map[string]*stage.Process{}
	for name := range services() {
		p, err := s.Start(ctx, name, name)
		if err != nil {
			return err
		}
		started[name] = p
	}
	for _, o := range [][2]string{{"ann", "2 lamps"}, {"bob", "9 lamps"}} {
		p, err := s.Start(ctx, "customer", o[0], o[1])
		if err != nil {
			return err
		}
		if err := p.Wait(); err != nil {
			return err
		}
	}
	eve, err := s.Start(ctx, "customer", "eve", "8 lamps")
	if err != nil {
		return err
	}
	if _, err := started["payment"].Await(ctx, "eve: charged"); err != nil {
		return err
	}
	s.Say("payment is killed, and payment-2 started")
	if err := started["payment"].Kill(); err != nil {
		return err
	}
	if _, err := s.Start(ctx, "payment", "payment-2"); err != nil {
		return err
	}
	return eve.Wait()
}

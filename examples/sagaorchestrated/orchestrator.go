package main

import (
	"context"
	"errors"
	"fmt"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// capacity of the channels. Their elements are small, and senders wait.
const capacity = 64

func orchestratorRole(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(lease))
	if err != nil {
		return err
	}
	defer c.Close()
	return newOrchestrator(c, p).run(ctx)
}

// An orchestrator leads orders through their steps while it leads. All that it knows is in
// the map of sagas.
type orchestrator struct {
	part     stage.Part
	election *client.Election
	sagas    *client.Map[string, saga]
	commands map[string]*client.Chan[command]
	replies  *client.Chan[reply]
}

func newOrchestrator(c *client.Client, p stage.Part) *orchestrator {
	o := &orchestrator{
		part:     p,
		election: c.Election(p.Object("orchestrator")),
		sagas:    client.NewMap[string, saga](c, p.Object("sagas")),
		commands: make(map[string]*client.Chan[command]),
		replies:  client.NewChan[reply](c, p.Object("replies"), capacity),
	}
	for name := range services() {
		o.commands[name] = client.NewChan[command](c, p.Object(name), capacity)
	}
	return o
}

// run waits its turn, leads, and after a loss waits again, until ctx ends.
func (o *orchestrator) run(ctx context.Context) error {
	return o.election.Run(ctx, o.part.Name, func(ctx context.Context, term client.Token) error {
		o.part.Say("leads")
		for {
			err := o.follow(ctx, term)
			if !errors.Is(err, client.ErrSkipped) {
				return err
			}
		}
	})
}

// follow leads all sagas to their end that are there, and then those that come.
func (o *orchestrator) follow(ctx context.Context, term client.Token) error {
	for e, err := range o.sagas.Watch(ctx, 0) {
		if err != nil {
			return err
		}
		// What has this term is an echo of a change made here.
		if e.Type != client.EventStored || e.Value.over() || e.Value.Term == term {
			continue
		}
		if err := o.lead(ctx, term, e.Key, e.Value); err != nil {
			return fmt.Errorf("lead order of %s: %w", e.Key, err)
		}
	}
	return nil
}

// lead leads one saga to its end, from where it is.
func (o *orchestrator) lead(ctx context.Context, term client.Token, id string, s saga) error {
	ctx, span := continued(ctx, s.Trace, "saga")
	defer span.End()
	mine := s
	mine.Term = term
	swapped, err := o.sagas.CompareAndSwapContext(ctx, id, s, mine)
	if err != nil || !swapped {
		return err // if it is not as it was, a later event says how it is
	}
	for s = mine; !s.over(); {
		refused, err := o.ask(ctx, id, s)
		if err != nil {
			return err
		}
		next := s.after(refused)
		swapped, err := o.sagas.CompareAndSwapContext(ctx, id, s, next)
		if err == nil && !swapped {
			err = errors.New("somebody else has changed it: a later term, or the customer")
		}
		if err != nil {
			return err
		}
		s = next
	}
	o.part.Say("order of %s: %s", id, s)
	return nil
}

// ask has the saga's next step done. Whoever led before may have asked for the same: the
// service does it once, and replies to both.
func (o *orchestrator) ask(ctx context.Context, id string, s saga) (refused string, err error) {
	service, verb := s.next()
	cmd := command{Saga: id, Verb: verb, Order: s.Order, Trace: traceOf(ctx)}
	o.part.Say("order of %s: asks %s to %s", id, service, verb)
	if err := o.commands[service].SendContext(ctx, cmd); err != nil {
		return "", err
	}
	for d, err := range o.replies.Deliveries(ctx) {
		if err != nil {
			return "", err
		}
		if err := d.Ack(ctx); err != nil {
			return "", err
		}
		// There is one order in hand; any other reply is to what was asked twice.
		if d.Value.Key == cmd.key() {
			o.part.Say("order of %s: %s replies: %s", id, service, d.Value)
			return d.Value.Refused, nil
		}
	}
	return "", fmt.Errorf("await reply of %s: %w", service, client.ErrClosed)
}

func (r reply) String() string {
	if r.Refused != "" {
		return "refused, " + r.Refused
	}
	return "done"
}

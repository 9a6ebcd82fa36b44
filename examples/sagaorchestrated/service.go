package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// lease is short, so that the story need not wait long after a death.
const lease = 3 * time.Second

// services are the services, and why each refuses an order.
func services() map[string]func(order) string {
	return map[string]func(order) string{
		"order": func(order) string { return "" },
		"payment": func(o order) string {
			if o.Count > 20 {
				return "the card does not have that much"
			}
			return ""
		},
		"stock": func(o order) string {
			if o.Count > 5 {
				return fmt.Sprintf("no %d %s are left", o.Count, o.Item)
			}
			return ""
		},
	}
}

// serviceRole is a service that is named as its role.
func serviceRole(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(lease))
	if err != nil {
		return err
	}
	defer c.Close()
	return newService(c, p, p.Name).run(ctx)
}

// A service does what it is asked to, once, however often it is asked. Several processes
// may be the same service.
type service struct {
	part     stage.Part
	refuses  func(order) string
	commands *client.Chan[command]
	replies  *client.Chan[reply]
	// done stands for the service's own database, where the effect of a command and its key
	// are in one transaction. What is stored is the effect; the key keeps it from a second.
	done *client.Map[string, effect]
}

// An effect is what came of a command.
type effect struct {
	Count   int    `json:"count"`
	Refused string `json:"refused,omitempty"`
}

func newService(c *client.Client, p stage.Part, name string) *service {
	return &service{
		part:     p,
		refuses:  services()[name],
		commands: client.NewChan[command](c, p.Object(name), capacity),
		replies:  client.NewChan[reply](c, p.Object("replies"), capacity),
		done:     client.NewMap[string, effect](c, p.Object(name+"/done")),
	}
}

// run serves until ctx ends. A command is acknowledged when it is replied to; until then it
// is the next one's if this one dies.
func (s *service) run(ctx context.Context) error {
	for d, err := range s.commands.Deliveries(ctx) {
		if err != nil {
			return err
		}
		if err := s.serve(ctx, d.Value); err != nil {
			return fmt.Errorf("serve %q: %w", d.Value.key(), err)
		}
		// If it was lost it comes again, to whoever, and is known.
		if err := d.Ack(ctx); err != nil && !errors.Is(err, client.ErrLost) {
			return err
		}
	}
	return nil
}

func (s *service) serve(ctx context.Context, cmd command) error {
	ctx, span := continued(ctx, cmd.Trace, cmd.Verb)
	defer span.End()
	did, again, err := s.done.LoadOrStoreContext(ctx, cmd.key(), s.effectOf(cmd))
	if err != nil {
		return err
	}
	note := ""
	if again {
		note = ", as before"
	}
	r := reply{Key: cmd.key(), Refused: did.Refused, Trace: traceOf(ctx)}
	s.part.Say("%s: %s%s", cmd.key(), r, note)
	return s.replies.SendContext(ctx, r)
}

// effectOf is of what a command does: to undo counts against to do.
func (s *service) effectOf(cmd command) effect {
	for _, is := range steps() {
		if is.undo == cmd.Verb {
			return effect{Count: -cmd.Order.Count}
		}
	}
	if why := s.refuses(cmd.Order); why != "" {
		return effect{Refused: why}
	}
	return effect{Count: cmd.Order.Count}
}

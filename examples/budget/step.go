package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// handOver is how long a request may wait until somebody takes it.
const handOver = 100 * time.Millisecond

// A request carries what is left of its caller's time, as a duration: two machines need not
// agree what time it is. What it may have waited for somebody to take it is off already, so
// that nobody thinks to have more time than the caller has.
type request struct {
	Left  time.Duration
	Reply string // a channel
}

type reply struct{ Refused string }

// errLate is a refusal, before anything was spent on it.
var errLate = errors.New("too late")

// requests is where a step takes its requests from: a rendezvous, so that what nobody takes
// in time is not taken at all.
func requests(c *client.Client, p stage.Part, name string) *client.Chan[request] {
	return client.NewChan[request](c, p.Object(name), 0)
}

// ask has a step do its work, and what it needs for it, within the deadline of ctx.
func ask(ctx context.Context, c *client.Client, p stage.Part, name string) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		return errors.New("ask without a deadline")
	}
	left := time.Until(deadline) - handOver
	if left <= 0 {
		return fmt.Errorf("%w: %v is not enough to ask %s", errLate, left+handOver, name)
	}
	r := request{Left: left, Reply: fmt.Sprintf("%s/reply-to-%s-%d", name, p.Name, deadline.UnixNano())}
	offer, cancel := context.WithTimeout(ctx, handOver)
	defer cancel()
	if err := requests(c, p, name).SendContext(offer, r); err != nil {
		if offer.Err() != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: nobody takes it at %s within %v", errLate, name, handOver)
		}
		return err
	}
	answer, _, err := replies(c, p, r.Reply).RecvContext(ctx)
	if err == nil && answer.Refused != "" {
		err = fmt.Errorf("%w: %s", errLate, answer.Refused)
	}
	return err
}

// replies is where one answer goes, a rendezvous as well: none is left behind when the
// caller has gone.
func replies(c *client.Client, p stage.Part, name string) *client.Chan[reply] {
	return client.NewChan[reply](c, p.Object(name), 0)
}

// A step does something, after the step that it needs has done its own.
type step struct {
	name, next string
	takes      time.Duration
}

// serve answers requests, one at a time, until ctx ends.
func (s step) serve(ctx context.Context, c *client.Client, p stage.Part, work func(context.Context, time.Duration) error) error {
	for r, err := range requests(c, p, s.name).All(ctx) {
		if err != nil {
			return err
		}
		if err := s.answer(ctx, c, p, r, work); err != nil {
			return err
		}
	}
	return nil
}

// answer spends what the request has, or refuses. An error is the cluster's.
func (s step) answer(ctx context.Context, c *client.Client, p stage.Part, r request, work func(context.Context, time.Duration) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.Left)
	defer cancel()
	var a reply
	switch err := s.do(ctx, c, p, r, work); {
	case errors.Is(err, errLate):
		a.Refused = err.Error()
	case ctx.Err() != nil:
		return nil // the caller has gone, or is about to
	case err != nil:
		return err
	}
	err := replies(c, p, r.Reply).SendContext(ctx, a)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s step) do(ctx context.Context, c *client.Client, p stage.Part, r request, work func(context.Context, time.Duration) error) error {
	needs := s.takes
	if s.next != "" {
		needs += handOver
	}
	if r.Left <= needs {
		p.Say("refuses: it has %v and needs %v", r.Left.Round(time.Millisecond), needs)
		return fmt.Errorf("%w: %s has %v and needs %v", errLate, s.name, r.Left.Round(time.Millisecond), needs)
	}
	p.Say("works, with %v left", r.Left.Round(time.Millisecond))
	if err := work(ctx, s.takes); err != nil {
		return err
	}
	if s.next == "" {
		return nil
	}
	return ask(ctx, c, p, s.next)
}

package client

import (
	"context"
	"errors"
	"fmt"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// This file has the calls that leave no hold.

// ask makes a call that leaves no hold, and returns what came of it.
func (k *courier) ask(ctx context.Context, op string, class lessee.Class, body *coordv1.Op) (*coordv1.Outcome, error) {
	out, _, err := k.askIn(ctx, op, class, body)
	return out, err
}

// askIn is ask that says in which session the call was done: nil if that is lost.
func (k *courier) askIn(ctx context.Context, op string, class lessee.Class, body *coordv1.Op) (*coordv1.Outcome, *live, error) {
	if ctx.Err() != nil {
		return nil, nil, contextEnded(ctx, op, nil)
	}
	c := &call{done: make(chan lessee.Outcome, 1)}
	if err := k.start(class, body, c); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", op, err)
	}
	o, err := k.outcome(ctx, op, class, c, k.draining)
	if err != nil {
		return nil, nil, err
	}
	out, err := answer(op, o)
	if o.Left {
		return out, nil, err
	}
	return out, c.in, err
}

// outcome waits for what comes of a call that leaves no hold: as long as ctx, and until
// the client is closed. It gives up the call if it gives up waiting.
func (k *courier) outcome(ctx context.Context, op string, class lessee.Class, c *call, closed <-chan struct{}) (lessee.Outcome, error) {
	select {
	case o := <-c.done:
		return o, nil
	case <-ctx.Done():
		also := k.outage()
		if err := k.abandon(class, c); err != nil && also != nil {
			also = fmt.Errorf("%w: %w", err, also)
		} else if err != nil {
			also = err
		}
		return lessee.Outcome{}, contextEnded(ctx, op, also)
	case <-closed:
		return lessee.Outcome{}, fmt.Errorf("%s: %w", op, errors.Join(ErrClientClosed, k.abandon(class, c)))
	}
}

// abandon ends a call that nobody waits for any more. The error is nil if it surely had
// no effect.
func (k *courier) abandon(class lessee.Class, c *call) error {
	k.end(c)
	if class != lessee.ClassChange {
		return nil
	}
	select {
	case o := <-c.done:
		if o.Verdict == lessee.Ended || o.Verdict == lessee.Refused {
			return nil
		}
	default:
	}
	return ErrUnknown
}

// answer is what a user is told of a call's final outcome.
func answer(op string, o lessee.Outcome) (*coordv1.Outcome, error) {
	out, _ := o.Body.(*coordv1.Outcome)
	switch o.Verdict {
	case lessee.Done:
		return out, nil
	case lessee.Refused:
		return nil, fmt.Errorf("%s: %w", op, refusal(out))
	case lessee.Ended: // by the end of the client
		return nil, fmt.Errorf("%s: %w", op, ErrClientClosed)
	default:
		return nil, fmt.Errorf("%s: %w", op, ErrUnknown)
	}
}

// askHere makes a change that is about one session, and waits for its outcome: nothing, if
// the session ends before the change took effect. It is a way to let go, and so is done until
// the client is closed.
func (k *courier) askHere(ctx context.Context, op string, in *live, body *coordv1.Op) error {
	c := &call{done: make(chan lessee.Outcome, 1)}
	k.mu.Lock()
	if k.live != in || in.over() || k.left {
		k.mu.Unlock()
		return nil
	}
	c.id = k.lessee.StartHere(body)
	k.calls[c.id] = c
	k.after()
	k.mu.Unlock()
	kick(k.write)
	o, err := k.outcome(ctx, op, lessee.ClassChange, c, k.gone)
	if err != nil || o.Verdict == lessee.Lost {
		return err
	}
	_, err = answer(op, o)
	return err
}

// startOn gives the lessee a change about h, or one that gives h away. Its outcome comes
// on c.done. A give is taken until the client is closed: it is a way to let go.
func (k *courier) startOn(h *Hold, body *coordv1.Op, gives bool) (*call, error) {
	h.check()
	c := &call{done: make(chan lessee.Outcome, 1)}
	k.mu.Lock()
	defer k.mu.Unlock()
	defer kick(k.write)
	switch {
	case h.end.Load() != nil:
		return nil, h.ended()
	case k.left, k.drain && !gives:
		return nil, ErrClientClosed
	case gives:
		c.give = h
		h.giving.Add(1)
		c.id = k.lessee.StartGive(h.call.id, body)
	default:
		c.id = k.lessee.StartOn(h.call.id, body)
	}
	k.calls[c.id] = c
	k.after()
	return c, nil
}

// change makes a change about a hold, or one that gives it away, and waits for its outcome.
func (h *Hold) change(ctx context.Context, op string, body *coordv1.Op, gives bool) error {
	if ctx.Err() != nil {
		return contextEnded(ctx, op, nil)
	}
	k := h.courier
	c, err := k.startOn(h, body, gives)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	closed := k.draining
	if gives {
		closed = k.gone // to give is a way to let go, for which Shutdown waits
	}
	o, err := k.outcome(ctx, op, lessee.ClassChange, c, closed)
	if err != nil {
		return err
	}
	_, err = answer(op, o)
	if ended := h.ended(); err != nil && ended != nil {
		if !errors.Is(err, ErrUnknown) || o.Verdict == lessee.Lost {
			return fmt.Errorf("%s: %w", op, ended) // that is why
		}
		return errors.Join(err, ended)
	}
	return err
}

// tellOf is start of a change about a hold, whose outcome nobody waits for.
func (k *courier) tellOf(hold *call, body *coordv1.Op) {
	k.mu.Lock()
	if !k.left {
		k.lessee.StartOn(hold.id, body)
		k.after()
	}
	k.mu.Unlock()
	kick(k.write)
}

package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// A Cond is a sync.Cond over a Mutex. Several Conds of one Mutex differ by name.
//
// Different from sync.Cond: after the loss of a session Wait may return without a
// signal, never miss one; so wait in a loop, as always.
type Cond struct {
	_ noCopy

	// L is the Mutex given to [Client.Cond]. Changing it makes Wait panic.
	L sync.Locker

	mutex *Mutex
	ref   Ref
	cfg   handleConfig
}

// Cond returns a handle; l is of the same client.
func (c *Client) Cond(name string, l *Mutex, opts ...HandleOption) *Cond {
	return &Cond{L: l, mutex: l, ref: Ref{Kind: KindCond, Name: name}, cfg: handleOptions(opts)}
}

// Wait unlocks L, which was locked by Lock, and locks it again, in one step of the
// machine each.
func (c *Cond) Wait() {
	if c.L != sync.Locker(c.mutex) {
		panic("client: the L of a Cond was changed")
	}
	if err := c.fault(); err != nil {
		panic(fmt.Errorf("client: %s: %w", c.ref, err))
	}
	s := c.mutex.kept
	h := s.let()
	if h == nil {
		panic(fmt.Sprintf("client: wait on %s with unlocked %s", c.ref, s.write.ref))
	}
	again, err := c.await(context.Background(), h)
	if lost := (*LostError)(nil); errors.As(err, &lost) {
		s.courier.complain(lost)
		again, err = s.courier.acquireForever(s.write), nil // without a signal
	}
	switch {
	case errors.Is(err, ErrLimit):
		again = s.courier.acquireForever(s.write)
	case errors.Is(err, ErrClientClosed):
		s.courier.park(c.ref)
	case err != nil:
		panic(fmt.Errorf("client: %w", err))
	}
	s.keepAgain(again)
}

// Signal wakes the Wait that has waited longest, if there is one. It does not wait for the
// network; it stays in order with the Unlock that follows.
func (c *Cond) Signal() { c.tell(false) }

// Broadcast wakes all Waits. It does not wait for the network either.
func (c *Cond) Broadcast() { c.tell(true) }

func (c *Cond) tell(all bool) {
	if err := c.fault(); err != nil {
		panic(fmt.Errorf("client: %s: %w", c.ref, err))
	}
	err := c.courier().start(lessee.ClassChange, c.signal(all), &call{done: make(chan lessee.Outcome, 1)})
	if err != nil {
		c.courier().park(c.ref)
	}
}

// WaitContext consumes h and returns its successor, with a greater token. On error
// nothing is held. h is a hold of the Mutex given to [Client.Cond], by any handle of it.
func (c *Cond) WaitContext(ctx context.Context, h *Hold) (*Hold, error) {
	fault := c.fault()
	switch {
	case fault != nil:
	case h.courier != c.courier():
		fault = fmt.Errorf("%w: the hold is of another client", ErrInvalid)
	case h.want.ref != c.mutex.kept.write.ref || h.want.shared || len(h.want.names) != 1:
		fault = fmt.Errorf("%w: it is over %s, and the hold of %s", ErrInvalid, c.mutex.kept.write.ref, h.want.ref)
	case ctx.Err() != nil:
		fault = contextEnded(ctx, c.ref.String(), nil)
	}
	if fault != nil {
		h.courier.release(h)
		return nil, fmt.Errorf("%s: %w", c.ref, fault)
	}
	return c.await(ctx, h)
}

// SignalContext waits until the cluster has the Signal.
func (c *Cond) SignalContext(ctx context.Context) error { return c.askSignal(ctx, "signal ", false) }

// BroadcastContext waits until the cluster has the Broadcast.
func (c *Cond) BroadcastContext(ctx context.Context) error {
	return c.askSignal(ctx, "broadcast ", true)
}

func (c *Cond) askSignal(ctx context.Context, verb string, all bool) error {
	if err := c.fault(); err != nil {
		return fmt.Errorf("%s%s: %w", verb, c.ref, err)
	}
	_, err := c.courier().ask(ctx, verb+c.ref.String(), lessee.ClassChange, c.signal(all))
	return err
}

func (c *Cond) courier() *courier { return c.mutex.kept.courier }

func (c *Cond) fault() error { return errors.Join(checkName(c.ref.Name), c.mutex.kept.write.fault) }

func (c *Cond) signal(all bool) *coordv1.Op {
	return &coordv1.Op{Op: &coordv1.Op_Signal{Signal: &coordv1.Signal{Name: c.ref.Name, All: all}}}
}

// await lets go of h, waits for a signal, and returns the hold that it comes to. If h was lost
// before, the error is the *LostError.
func (c *Cond) await(ctx context.Context, h *Hold) (*Hold, error) {
	from := origin{ctx: ctx}
	runtime.Callers(3, from.callers[:])
	k, lock := h.courier, c.mutex.kept.write
	from.name(ctx, k)
	next := newHold(k, lock, from)
	body := &coordv1.Op{Op: &coordv1.Op_CondWait{CondWait: &coordv1.CondWait{
		Name: c.ref.Name, Lock: lock.ref.Name, Note: c.cfg.note, Lineage: from.lineage, Site: from.site,
	}}}
	if err := k.startAwait(h, body, lock.op(false, &from), &next.call); err != nil {
		return nil, fmt.Errorf("%s: %w", c.ref, err)
	}
	err := k.granted(ctx, c.ref.String(), next, nil)
	k.release(h) // it may be held still, if the wait was refused
	if err != nil {
		return nil, err
	}
	lost := next.Err()
	if lost == nil {
		return next, nil
	}
	k.release(next)
	k.conn.pause(ctx, newBackOff(), lost)
	if next, err = k.obtain(ctx, newHold(k, lock, from), false); err != nil {
		return nil, fmt.Errorf("%s: %w", c.ref, err)
	}
	return next, nil
}

// startAwait gives the lessee a wait that lets go of h.
func (k *courier) startAwait(h *Hold, body, again *coordv1.Op, c *call) error {
	h.check()
	k.mu.Lock()
	defer k.mu.Unlock()
	defer kick(k.write)
	switch {
	case h.end.Load() != nil:
		return h.ended()
	case k.drain:
		return ErrClientClosed
	}
	h.spent = true
	h.giving.Add(1)
	c.give = h
	c.id = k.lessee.StartAwait(h.call.id, body, again)
	k.calls[c.id] = c
	k.after()
	return nil
}

package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	coordv1 "coordd.dev/api/coord/v1"
)

// A Once runs one function, once, in one process. Different from sync.Once: if that
// process dies inside f another caller's f runs, so f may have begun more than
// once; make its effects fenced or idempotent. It is done for ever, over restarts:
// put a version in the name, or [Client.Delete] it.
type Once struct {
	_       noCopy
	courier *courier
	ref     Ref
	cfg     handleConfig

	// One goroutine of the process asks the cluster at a time, as one runs f in sync.
	turn chan struct{}           // has room for one
	done atomic.Pointer[onceEnd] // nil until it is known here
}

// A onceEnd is how a once ended.
type onceEnd struct {
	result   []byte
	panicked bool // result is the panic's text
}

// Once returns a handle.
func (c *Client) Once(name string, opts ...HandleOption) *Once {
	return &Once{
		courier: c.courier, ref: Ref{Kind: KindOnce, Name: name}, cfg: handleOptions(opts), turn: make(chan struct{}, 1),
	}
}

// Do calls f if nobody's has returned. A panic counts as a return.
func (o *Once) Do(f func()) {
	o.run(func(context.Context, Token) ([]byte, error) {
		f()
		return nil, nil
	})
}

// DoContext is Do, but an error of f leaves it undone and is returned to its own
// caller only; the next caller runs. So does a panic.
func (o *Once) DoContext(ctx context.Context, f func(ctx context.Context, t Token) error) error {
	_, err := o.runContext(ctx, func(ctx context.Context, t Token) ([]byte, error) { return nil, f(ctx, t) })
	return err
}

// A runner is what a once runs. It returns what is stored.
type runner func(ctx context.Context, t Token) (result []byte, err error)

// run is runContext for the sync forms, where a panic of f is its result.
func (o *Once) run(f runner) (end *onceEnd) {
	o.courier.forever(o.ref, func(ctx context.Context) (err error) {
		end, err = o.attempt(ctx, f, true)
		return err
	})
	return end
}

// runContext returns the result, of f or of somebody else's. A panic that somebody stored in
// the sync form is a result without a value.
func (o *Once) runContext(ctx context.Context, f runner) (*onceEnd, error) {
	return o.attempt(ctx, f, false)
}

// attempt asks for the result until there is one, and runs f when it is told to: again if what
// it ran was lost before its result was stored.
func (o *Once) attempt(ctx context.Context, f runner, keepPanic bool) (*onceEnd, error) {
	if end := o.done.Load(); end != nil {
		return end, nil
	}
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, contextEnded(ctx, o.ref.String(), nil)
	}
	for b := newBackOff(); ; {
		if end := o.done.Load(); end != nil {
			return end, nil
		}
		if ctx.Err() != nil {
			return nil, contextEnded(ctx, o.ref.String(), nil)
		}
		c := &onceCase{once: o}
		if _, err := selectOne(ctx, selection{}, c); err != nil {
			return nil, err
		}
		if c.hold == nil {
			continue // done
		}
		lost, err := o.runHeld(ctx, c.hold, f, keepPanic)
		if err != nil || lost == nil {
			return o.done.Load(), err
		}
		o.courier.conn.pause(ctx, b, lost)
	}
}

// runHeld runs f as the one that runs, and stores its result. lost says that somebody else
// may run it now.
func (o *Once) runHeld(ctx context.Context, h *Hold, f runner, keepPanic bool) (lost, err error) {
	inner, stop := h.within(ctx)
	defer stop()
	returned := false
	defer func() {
		if returned {
			return
		}
		if !keepPanic {
			h.courier.release(h)
			return
		}
		p := recover()
		if p == nil { // runtime.Goexit, which counts as a return
			lost = o.complete(context.Background(), h, &onceEnd{})
			return
		}
		lost = o.complete(context.Background(), h, &onceEnd{result: []byte(panicText(p)), panicked: true})
		panic(p)
	}()
	result, err := f(inner, h.Token())
	returned = true
	if err != nil {
		return nil, errors.Join(err, h.Unlock(ctx))
	}
	if len(result) > maxElement {
		o.courier.release(h)
		return nil, fmt.Errorf("%s: %w: the result has %d bytes, more than %d", o.ref, ErrInvalid, len(result), maxElement)
	}
	return o.complete(ctx, h, &onceEnd{result: result}), nil
}

// complete stores the result. If it is not known to be stored, h is let go.
func (o *Once) complete(ctx context.Context, h *Hold, end *onceEnd) (lost error) {
	how := coordv1.OnceEnd_ONCE_END_RETURNED
	if end.panicked {
		how = coordv1.OnceEnd_ONCE_END_PANICKED
	}
	err := h.change(ctx, "complete "+o.ref.String(), &coordv1.Op{Op: &coordv1.Op_Complete{
		Complete: &coordv1.Complete{Result: end.result, End: how},
	}}, true)
	if err != nil {
		o.courier.release(h)
		return err
	}
	o.done.Store(end)
	return nil
}

// panicText is a panic as it is stored.
func panicText(p any) string {
	s := fmt.Sprint(p)
	return s[:min(len(s), maxElement)]
}

// A onceCase runs, or takes the result.
type onceCase struct {
	once *Once
	hold *Hold // nil: it is done
}

func (c *onceCase) arm() *arm {
	a := c.once.arm(coordv1.Side_SIDE_UNSPECIFIED)
	a.chosen = func(out *coordv1.Outcome, h *Hold) error {
		c.hold = h
		if h == nil {
			c.once.done.Store(&onceEnd{
				result: out.GetData(), panicked: out.GetValue() == int64(coordv1.OnceEnd_ONCE_END_PANICKED),
			})
		}
		return nil
	}
	return a
}

func (o *Once) arm(side coordv1.Side) *arm {
	return &arm{
		courier: o.courier,
		want:    newWant(o.ref, []*coordv1.Arm{{Kind: coordv1.Kind_KIND_ONCE, Name: o.ref.Name, Side: side}}, o.cfg),
	}
}

package client

import (
	"context"
	"errors"
	"fmt"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// A WaitGroup is a sync.WaitGroup across processes. Add before you tell anyone: a
// Wait on an empty group returns at once, as in sync.
//
// A Done settles an Add of its own session first, else the oldest of another. What
// a dead session did not settle is returned and the group is cut: at zero its Waits
// are cut short and Dones do nothing, until the next Add. A late Done counts in the
// next round, so name each round.
type WaitGroup struct {
	_       noCopy
	courier *courier
	ref     Ref
	cfg     handleConfig
}

// WaitGroup returns a handle.
func (c *Client) WaitGroup(name string, opts ...HandleOption) *WaitGroup {
	return &WaitGroup{courier: c.courier, ref: Ref{Kind: KindWaitGroup, Name: name}, cfg: handleOptions(opts)}
}

// Add returns when the cluster has it. A negative counter panics.
func (wg *WaitGroup) Add(delta int) {
	wg.courier.forever(wg.ref, func(ctx context.Context) error { return wg.AddContext(ctx, delta) })
}

// Done is Add(-1).
func (wg *WaitGroup) Done() { wg.Add(-1) }

// Go is Add(1), then f in a goroutine of this process, then Done. f must not panic, as in
// sync: that ends the process, and so cuts the group.
func (wg *WaitGroup) Go(f func()) {
	var in *live
	wg.courier.forever(wg.ref, func(ctx context.Context) (err error) {
		in, err = wg.add(ctx, 1)
		return err
	})
	go func() {
		defer wg.doneIn(in)
		f()
	}()
}

// Wait panics with [ErrCutShort] if a process died before its Done, as a panic in a
// goroutine ends the program that waits for it.
func (wg *WaitGroup) Wait() { wg.courier.forever(wg.ref, wg.WaitContext) }

// AddContext is Add with a ctx. A negative counter is [ErrInvalid], and nothing is changed.
func (wg *WaitGroup) AddContext(ctx context.Context, delta int) error {
	_, err := wg.add(ctx, delta)
	return err
}

// add is AddContext. It returns the session that has added, nil if that is lost.
func (wg *WaitGroup) add(ctx context.Context, delta int) (*live, error) {
	op := wg.adding(delta)
	if err := checkName(wg.ref.Name); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	_, in, err := wg.courier.askIn(ctx, op, lessee.ClassChange, wg.addOf(delta))
	if errors.Is(err, ErrInvalid) && delta < 0 {
		return nil, fmt.Errorf("%s: %w: negative counter", op, ErrInvalid)
	}
	return in, err
}

func (wg *WaitGroup) adding(delta int) string { return fmt.Sprintf("add %d to %s", delta, wg.ref) }

func (wg *WaitGroup) addOf(delta int) *coordv1.Op {
	return &coordv1.Op{Op: &coordv1.Op_Add{Add: &coordv1.Add{Name: wg.ref.Name, Delta: int64(delta)}}}
}

// doneIn is Done of an Add in a session. If that is lost the cluster has returned the Add, and
// a Done in the next would settle somebody else's.
func (wg *WaitGroup) doneIn(in *live) {
	if in == nil {
		return
	}
	wg.courier.forever(wg.ref, func(ctx context.Context) error {
		err := wg.courier.askHere(ctx, wg.adding(-1), in, wg.addOf(-1))
		if errors.Is(err, ErrUnknown) || errors.Is(err, ErrClientClosed) {
			return nil // the session is over: the Add is settled, or was returned
		}
		return err
	})
}

// GoContext gives f a ctx that ends also with the session. f runs if the error is nil.
func (wg *WaitGroup) GoContext(ctx context.Context, f func(ctx context.Context)) error {
	in, err := wg.add(ctx, 1)
	if err != nil {
		return err
	}
	session := wg.courier.session().Context()
	if in != nil {
		session = in.ctx
	}
	go func() {
		defer wg.doneIn(in)
		inner, cancel := context.WithCancelCause(ctx)
		defer cancel(context.Canceled)
		defer context.AfterFunc(session, func() { cancel(context.Cause(session)) })()
		f(inner)
	}()
	return nil
}

// WaitContext is Wait with a ctx; [ErrCutShort] if a process died before its Done.
func (wg *WaitGroup) WaitContext(ctx context.Context) error { return waitDone(ctx, wg.OnDone()) }

func (wg *WaitGroup) arm() *arm {
	return &arm{
		courier: wg.courier,
		want:    newWant(wg.ref, []*coordv1.Arm{{Kind: coordv1.Kind_KIND_WAIT_GROUP, Name: wg.ref.Name}}, wg.cfg),
	}
}

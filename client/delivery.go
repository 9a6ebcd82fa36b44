package client

import (
	"context"
	"errors"
	"fmt"
	"iter"

	coordv1 "coordd.dev/api/coord/v1"
)

// A Delivery is an element to be acknowledged: a [Hold] with a value.
type Delivery[T any] struct {
	_       noCopy
	Value   T
	Attempt int // 1 at first
	hold    *Hold
}

// RecvAck receives an element that stays this session's until Ack; capacity must be
// 1 or more. If the session
// ends first, or on Nack, it goes back to the head. [ErrClosed] when ch is closed,
// drained, and nobody still owns an element that could come back.
//
// An element that the codec cannot decode is given back, and the error returned; so it will
// come again.
func (ch *Chan[T]) RecvAck(ctx context.Context) (*Delivery[T], error) {
	c := ch.OnRecvAck()
	if _, err := selectOne(ctx, selection{}, c); err != nil {
		return nil, err
	}
	if c.Delivery == nil {
		return nil, fmt.Errorf("%s: %w", ch.ref, ErrClosed)
	}
	return c.Delivery, nil
}

// Deliveries is All by RecvAck. What the body leaves unsettled is Nacked on the next
// turn and on break.
func (ch *Chan[T]) Deliveries(ctx context.Context) iter.Seq2[*Delivery[T], error] {
	return func(yield func(*Delivery[T], error) bool) {
		for {
			d, err := ch.RecvAck(ctx)
			switch {
			case errors.Is(err, ErrClosed):
				return
			case err != nil:
				yield(nil, err)
				return
			}
			if !d.during(yield) {
				return
			}
		}
	}
}

// during yields d and gives it back if that left it unsettled, also by a panic.
func (d *Delivery[T]) during(yield func(*Delivery[T], error) bool) bool {
	defer func() {
		if d.Err() == nil {
			d.hold.courier.release(d.hold)
		}
	}()
	return yield(d, nil)
}

// Context is as [Hold.Context]: it ends with d.
func (d *Delivery[T]) Context() context.Context { return d.hold.Context() }

// Token is a fencing token that rises with each attempt.
func (d *Delivery[T]) Token() Token { return d.hold.Token() }

// Err is nil while the element is surely d's, as [Hold.Err].
func (d *Delivery[T]) Err() error { return d.hold.Err() }

// Lost is closed if d is lost.
func (d *Delivery[T]) Lost() <-chan struct{} { return d.hold.Lost() }

// Ack says that the element is done with: it is gone for good. [ErrLost] says that d was lost
// before, and somebody else has the element or will. If ctx ends before the answer the error
// is [ErrUnknown] too.
func (d *Delivery[T]) Ack(ctx context.Context) error {
	body := &coordv1.Op{Op: &coordv1.Op_Acknowledge{Acknowledge: &coordv1.Acknowledge{}}}
	return d.hold.change(ctx, "acknowledge an element of "+d.hold.want.ref.String(), body, true)
}

// Nack gives the element back: it is the first that is received next.
func (d *Delivery[T]) Nack(ctx context.Context) error { return d.hold.Unlock(ctx) }

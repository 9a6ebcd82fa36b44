package client

import (
	"context"
	"errors"
	"fmt"

	coordv1 "coordd.dev/api/coord/v1"
)

// A Leadership is a won Campaign: a [Hold] with a value. It is single use and never
// revived: who led and leads again has another one, with a greater term.
type Leadership struct {
	_    noCopy
	hold *Hold
}

// Token is the term.
func (l *Leadership) Token() Token { return l.hold.Token() }

// Context is [Hold.Context].
func (l *Leadership) Context() context.Context { return l.hold.Context() }

// Err is nil while l surely leads, by the local clock; else a *LostError or
// [ErrReleased]. While a TransferTo is under way it is an ErrReleased too, although
// l leads still if that is refused.
func (l *Leadership) Err() error { return l.hold.Err() }

// Lost is closed if l is lost, and not by Resign or TransferTo.
func (l *Leadership) Lost() <-chan struct{} { return l.hold.Lost() }

// Proclaim changes the value, within the term. It is a *LostError or [ErrReleased] if l
// does not lead any more.
func (l *Leadership) Proclaim(ctx context.Context, value string) error {
	op := "proclaim in " + l.hold.want.ref.String()
	if err := checkValue(value); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	body := &coordv1.Op{Op: &coordv1.Op_Proclaim{Proclaim: &coordv1.Proclaim{Value: value}}}
	return l.hold.change(ctx, op, body, false)
}

// Resign is [Hold.Unlock].
func (l *Leadership) Resign(ctx context.Context) error { return l.hold.Unlock(ctx) }

// TransferTo resigns in favour of a waiting candidate; [ErrNotFound], and still
// leader, if it does not wait. The candidate leads before anybody else could, whoever
// is ahead of it in line.
//
// While it is under way l does not surely lead, and Err says so; Context ends only with
// the answer, so end the work under it first. If ctx ends before the answer comes the
// error is [ErrUnknown] too, and Err tells, once it has come, whether l leads.
func (l *Leadership) TransferTo(ctx context.Context, to SessionID) error {
	op := fmt.Sprintf("transfer %s to %s", l.hold.want.ref, to)
	id, err := to.number()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	body := &coordv1.Op{Op: &coordv1.Op_Transfer{Transfer: &coordv1.Transfer{ToSessionId: id}}}
	err = l.hold.change(ctx, op, body, true)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: no candidate of that session waits", err)
	}
	return err
}

// Run leads for as long as ctx: it campaigns, calls f, and when leadership is lost
// ends f's ctx, waits for f, and campaigns again. It resigns only after f returned,
// and returns when f returns while leading (f's error), or ctx ends.
//
// f's ctx is ctx, ended also by loss with the *LostError as its cause, and carries the
// term. What f returns after a loss does not matter: it will be called again. If f
// panics Run resigns and the panic goes on. An f that leads and loses again and again,
// for less than a second each time, is called less often.
func (e *Election) Run(ctx context.Context, value string, f func(ctx context.Context, term Token) error) error {
	for b := newBackOff(); ; {
		l, err := e.Campaign(ctx, value)
		if err != nil {
			return err
		}
		lost, err := l.hold.run(ctx, f)
		if lost == nil {
			return err
		}
		if lost.Held >= retryMost {
			b.reset()
		}
		e.courier.conn.pause(ctx, b, lost)
	}
}

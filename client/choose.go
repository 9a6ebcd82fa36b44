package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// This file has the waits that may come to something else than one hold: they choose between
// arms, and what they choose may be an effect.

// settlePatience is how long a wait that was given up waits for the cluster's word on whether
// it had taken effect before: longer than a change of leaders takes.
const settlePatience = 5 * time.Second

// An arm is one of the things that a wait chooses between.
type arm struct {
	courier *courier // nil of one that is local
	want    *want
	takes   bool // it changes something that is not undone with the wait
	after   time.Duration
	local   localArm

	// chosen gives the arm's case what it got.
	chosen func(o *coordv1.Outcome, h *Hold) error
}

type localArm uint8

const (
	notLocal localArm = iota
	localTimer
	localDefault
)

// A choice is what came of a wait. hold is nil if it came to an effect.
type choice struct {
	arm  int
	out  *coordv1.Outcome
	hold *Hold
}

// errTimer says that a wait's own timer ended it, and that it had no effect.
var errTimer = errors.New("timer")

// choose waits until one of the arms is to be had, all of the cluster, and for as long as ctx
// and timer. If it is given up it had no effect, or that is what it returns, or the error is
// [ErrUnknown].
func (k *courier) choose(ctx context.Context, arms []*arm, terms *coordv1.Wait, timer <-chan time.Time) (choice, error) {
	op := opOfArms(arms)
	from := origin{ctx: ctx}
	runtime.Callers(3, from.callers[:])
	from.name(ctx, k)
	terms.Lineage, terms.Site = from.lineage, from.site
	for b := newBackOff(); ; {
		h := newHold(k, arms[0].want, from)
		for _, a := range arms {
			h.call.wants = append(h.call.wants, a.want)
		}
		c, err := k.chooseOnce(ctx, op, h, arms, terms, timer)
		if err != nil || c.hold == nil {
			return c, err
		}
		lost := h.Err()
		if lost == nil || terms.GetTry() {
			return c, nil
		}
		k.release(h) // it was lost before anybody could use it
		k.conn.pause(ctx, b, lost)
	}
}

func opOfArms(arms []*arm) string {
	if len(arms) == 1 {
		return arms[0].want.ref.String()
	}
	return fmt.Sprintf("select of %d", len(arms))
}

// chooseOnce makes the wait that may become h.
func (k *courier) chooseOnce(ctx context.Context, op string, h *Hold, arms []*arm, terms *coordv1.Wait, timer <-chan time.Time) (choice, error) {
	class := lessee.ClassWait
	if slices.ContainsFunc(arms, func(a *arm) bool { return a.takes }) {
		class = lessee.ClassChange
	}
	body := &coordv1.Op{Op: &coordv1.Op_Wait{Wait: terms}}
	if err := k.start(class, body, &h.call); err != nil {
		return choice{}, fmt.Errorf("%s: %w", op, err)
	}
	var patience <-chan time.Time
	if _, bounded := ctx.Deadline(); terms.GetTry() && !bounded {
		t := time.NewTimer(tryPatience)
		defer t.Stop()
		patience = t.C
	}
	var why error
	select {
	case o := <-h.call.done:
		return k.chosen(op, h, o)
	case <-ctx.Done():
		why = contextEnded(ctx, op, k.outage())
	case <-timer:
		why = errTimer
	case <-patience:
		why = fmt.Errorf("%s: no answer in %v: %w", op, tryPatience, ErrUnavailable)
	case <-k.draining:
		why = fmt.Errorf("%s: %w", op, ErrClientClosed)
	}
	k.release(h)
	if class != lessee.ClassChange {
		return choice{}, why // whatever it got is given back
	}
	return k.settled(op, h, why)
}

// chosen is what an outcome means to who waited.
func (k *courier) chosen(op string, h *Hold, o lessee.Outcome) (choice, error) {
	out, _ := o.Body.(*coordv1.Outcome)
	c := choice{arm: int(out.GetArm()), out: out}
	switch {
	case o.Verdict == lessee.Granted:
		h.waitedFor = out.GetWaitedFor()
		c.hold = h
		return c, nil
	case o.Verdict == lessee.Done:
		return c, nil
	case o.Verdict == lessee.Refused && (out.GetCode() == coordv1.Code_CODE_CLOSED || out.GetCode() == coordv1.Code_CODE_CUT_SHORT):
		return c, nil // the arm's to say what that means
	}
	if len(h.call.wants) == 1 {
		return choice{}, h.want.refused(o)
	}
	_, err := answer(op, o)
	if busy, ok := errors.AsType[*BusyError](err); ok {
		return choice{}, busy
	}
	return choice{}, err
}

// settled is what came of a wait that was given up because of why: it may have taken effect
// before the cluster had that.
func (k *courier) settled(op string, h *Hold, why error) (choice, error) {
	t := time.NewTimer(settlePatience)
	defer t.Stop()
	select {
	case o := <-h.call.done:
		switch o.Verdict {
		case lessee.Done:
			return k.chosen(op, h, o)
		case lessee.Granted, lessee.Ended, lessee.Refused: // a hold was given back
			return choice{}, why
		default:
			return choice{}, errors.Join(why, ErrUnknown)
		}
	case <-t.C:
	case <-k.gone:
	}
	return choice{}, errors.Join(why, ErrUnknown)
}

// forever calls f, a wait without a ctx, until it succeeds: it rides out limits of the
// cluster, panics with what is definitely refused or not known, and never returns once the
// client is closed.
func (k *courier) forever(ref Ref, f func(ctx context.Context) error) {
	for b := newBackOff(); ; {
		err := f(context.Background())
		switch {
		case err == nil:
			return
		case errors.Is(err, ErrClientClosed):
			k.park(ref)
		case errors.Is(err, ErrLimit):
			k.conn.pause(context.Background(), b, err)
		default:
			panic(fmt.Errorf("client: %w", err))
		}
	}
}

// tried is forever of what only tries: false if it was not to be had.
func tried(err error) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrUnknown):
	case errors.Is(err, ErrBusy), errors.Is(err, ErrUnavailable), errors.Is(err, ErrLimit), errors.Is(err, ErrClientClosed):
		return false
	}
	panic(fmt.Errorf("client: %w", err))
}

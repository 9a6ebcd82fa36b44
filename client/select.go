package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	coordv1 "coordd.dev/api/coord/v1"
)

// A Case is an arm of a [Select]. The handles make them, typed; after Select the
// chosen one has the result. A case may be used again, by one Select at a time.
type Case interface{ arm() *arm }

// Select waits until one case can proceed and commits that one, atomically; the
// others leave no trace. Of several ready it takes a fair one. It returns the chosen
// case, so that a switch over it reads as Go's select:
//
//	switch got, err := client.Select(ctx, job, stop); got {
//	case job:
//		use(job.Value, job.OK)
//	case stop:
//	case nil:
//		return err
//	}
//
// On error no case was taken and nil is returned, but for a send on a closed channel:
// then it is that case, and [ErrClosed]; and for an element that its codec cannot decode.
// [ErrUnknown] says that it is not known whether one was taken. All cases are of one client.
// With none it waits for ctx.
//
// At most 1,024 cases that are not local, and 512 KiB of elements to send. Elections with a
// priority and a priority's absence do not go together, nor do two lock-delays.
func Select(ctx context.Context, cases ...Case) (Case, error) {
	return selectOne(ctx, selection{}, cases...)
}

// SelectOrdered is Select, but of several ready the first given is taken.
func SelectOrdered(ctx context.Context, cases ...Case) (Case, error) {
	return selectOne(ctx, selection{ordered: true}, cases...)
}

// A selection is how a select is made.
type selection struct {
	ordered bool
	try     bool
}

// selectOne is Select.
func selectOne(ctx context.Context, s selection, cases ...Case) (Case, error) {
	if ctx.Err() != nil {
		return nil, contextEnded(ctx, "select", nil)
	}
	var remote []*arm
	var of []Case // the case of each of them
	var quiet, instead Case
	soonest := time.Duration(0)
	for _, c := range cases {
		switch a := c.arm(); a.local {
		case localDefault:
			instead = c
		case localTimer:
			if quiet == nil || a.after < soonest {
				quiet, soonest = c, a.after
			}
		case notLocal:
			remote, of = append(remote, a), append(of, c)
		}
	}
	var timer <-chan time.Time
	if quiet != nil {
		t := time.NewTimer(soonest)
		defer t.Stop()
		timer = t.C
	}
	if len(remote) == 0 {
		return selectLocal(ctx, timer, quiet, instead)
	}
	s.try = s.try || instead != nil
	terms, err := termsOfArms(ctx, remote, s)
	if err != nil {
		return nil, err
	}
	t := startChoosing(ctx, remote)
	terms.Trace = t.context()
	got, err := remote[0].courier.choose(ctx, remote, terms, timer)
	switch {
	case errors.Is(err, errTimer) && !errors.Is(err, ErrUnknown):
		return quiet, t.chosen(nil, nil, nil)
	case instead != nil && errors.Is(err, ErrBusy):
		return instead, t.chosen(nil, nil, nil)
	case err == nil && got.arm >= len(remote):
		err = fmt.Errorf("select: %w: the cluster chose arm %d of %d", ErrUnknown, got.arm, len(remote))
	}
	if err != nil {
		return nil, t.chosen(nil, nil, err)
	}
	a := remote[got.arm]
	return of[got.arm], t.chosen(a, got.out, a.chosen(got.out, got.hold))
}

// selectLocal waits for what no cluster has to do with.
func selectLocal(ctx context.Context, timer <-chan time.Time, quiet, instead Case) (Case, error) {
	if instead != nil {
		return instead, nil
	}
	select {
	case <-timer:
		return quiet, nil
	case <-ctx.Done():
		return nil, contextEnded(ctx, "select", nil)
	}
}

// termsOfArms is the wait for one of the arms.
func termsOfArms(ctx context.Context, arms []*arm, s selection) (*coordv1.Wait, error) {
	terms := &coordv1.Wait{Commit: coordv1.Commit_COMMIT_ANY, Try: s.try}
	if s.ordered {
		terms.Commit = coordv1.Commit_COMMIT_FIRST
	}
	size := 0
	for i, a := range arms {
		w := a.want.wait
		switch {
		case a.want.fault != nil:
			return nil, fmt.Errorf("%s: %w", a.want.ref, a.want.fault)
		case a.courier != arms[0].courier:
			return nil, fmt.Errorf("select: %w: %s is of another client than %s", ErrInvalid, a.want.ref, arms[0].want.ref)
		case i > 0 && w.GetPriority() != terms.GetPriority():
			return nil, fmt.Errorf("select: %w: %s has another priority than the cases before", ErrInvalid, a.want.ref)
		case terms.GetLockDelay() != nil && w.GetLockDelay() != nil && !proto.Equal(terms.GetLockDelay(), w.GetLockDelay()):
			return nil, fmt.Errorf("select: %w: %s has another lock-delay than a case before", ErrInvalid, a.want.ref)
		}
		terms.Priority = w.GetPriority()
		if w.GetLockDelay() != nil {
			terms.LockDelay = w.GetLockDelay()
		}
		if terms.GetNote() == "" {
			terms.Note = w.GetNote()
		}
		terms.Arms = append(terms.Arms, w.GetArms()...)
		size += len(w.GetArms()[0].GetElement())
	}
	if n := len(terms.GetArms()); n > maxNames {
		return nil, fmt.Errorf("select: %w: %d cases, more than %d", ErrInvalid, n, maxNames)
	}
	if size > maxSelect {
		return nil, fmt.Errorf("select: %w: %d bytes to send, more than %d", ErrInvalid, size, maxSelect)
	}
	return terms, selfCycles(ctx, arms)
}

// selfCycles is the error of a select none of whose arms can ever be had, because of what ctx
// carries.
func selfCycles(ctx context.Context, arms []*arm) error {
	var first error
	for _, a := range arms {
		err := selfCycle(ctx, a.courier, a.want)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

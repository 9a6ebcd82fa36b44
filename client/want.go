package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// tryPatience is how long a Try waits for an answer if its ctx has no deadline.
const tryPatience = time.Second

// A want is what a wait is for. A handle makes it once for all its calls, which share
// the messages: nothing in them is ever changed.
type want struct {
	ref     Ref
	names   []string // all of them, sorted
	shared  bool
	permits int64
	wait    *coordv1.Wait
	fault   error // why it cannot be asked for
}

// newWant makes a want of arms of one kind.
func newWant(ref Ref, arms []*coordv1.Arm, h handleConfig) *want {
	w := &want{ref: ref}
	for _, a := range arms {
		w.names = append(w.names, a.GetName())
		w.shared = w.shared || a.GetShared()
		w.permits = a.GetCount()
		w.fault = errors.Join(w.fault, checkName(a.GetName()))
	}
	if len(h.note) > maxMetadata {
		w.fault = errors.Join(w.fault, fmt.Errorf("%w: the note has %d bytes, more than %d", ErrInvalid, len(h.note), maxMetadata))
	}
	if !utf8.ValidString(h.note) {
		w.fault = errors.Join(w.fault, fmt.Errorf("%w: the note is not UTF-8", ErrInvalid))
	}
	if h.delay < 0 || h.delay > maxDelay {
		w.fault = errors.Join(w.fault, fmt.Errorf("%w: lock-delay %v is not within 0s to %v", ErrInvalid, h.delay, maxDelay))
	}
	if int(int32(h.priority)) != h.priority {
		w.fault = errors.Join(w.fault, fmt.Errorf("%w: priority %d is not within 32 bits", ErrInvalid, h.priority))
	}
	w.wait = &coordv1.Wait{Arms: arms, Note: h.note}
	if len(arms) > 1 {
		w.wait.Commit = coordv1.Commit_COMMIT_ALL
	}
	if h.delay > 0 {
		w.wait.LockDelay = durationpb.New(h.delay)
	}
	return w
}

// lockWant is one lock.
func lockWant(name string, shared bool, h handleConfig) *want {
	return newWant(Ref{Kind: KindLock, Name: name},
		[]*coordv1.Arm{{Kind: coordv1.Kind_KIND_LOCK, Name: name, Shared: shared}}, h)
}

// waitOp is an op and what leads to its wait, in one piece of memory.
type waitOp struct {
	op coordv1.Op
	of coordv1.Op_Wait
}

// op is the call for w, made from somewhere.
func (w *want) op(try bool, from *origin) *coordv1.Op {
	o := &waitOp{}
	o.of.Wait = w.wait
	if try || from.trace != nil || from.lineage != nil {
		o.of.Wait = proto.CloneOf(w.wait)
		o.of.Wait.Try, o.of.Wait.Trace = try, from.trace
		o.of.Wait.Lineage, o.of.Wait.Site = from.lineage, from.site
	}
	o.op.Op = &o.of
	return &o.op
}

// conflicts reports whether both cannot be held at once, whatever the cluster says.
func (w *want) conflicts(held *want) bool {
	if w.ref.Kind != held.ref.Kind || w.ref.Kind == KindSemaphore || w.shared && held.shared {
		return false
	}
	return slices.ContainsFunc(w.names, func(name string) bool { return slices.Contains(held.names, name) })
}

// acquire waits for w as long as ctx; with try it only asks. Cancel races grant: if ctx
// ends, whatever the wait got meanwhile is released, and ctx's error returned.
func (k *courier) acquire(ctx context.Context, w *want, try bool) (*Hold, error) {
	from := origin{ctx: ctx}
	runtime.Callers(3, from.callers[:])
	switch err := selfCycle(ctx, k, w); {
	case w.fault != nil:
		return nil, fmt.Errorf("%s: %w", w.ref, w.fault)
	case ctx.Err() != nil:
		return nil, contextEnded(ctx, w.ref.String(), nil)
	case err != nil:
		return nil, err
	}
	from.name(ctx, k)
	t := startTracing(ctx, w)
	if from.trace = t.context(); from.trace != nil {
		from.ctx = t.ctx
	}
	h, err := k.obtain(ctx, newHold(k, w, from), try)
	t.acquired(h, err)
	return h, err
}

// obtain waits until h is held, or another one like it: one that was lost before anybody
// could use it is let go, and asked for anew.
func (k *courier) obtain(ctx context.Context, h *Hold, try bool) (*Hold, error) {
	for b := newBackOff(); ; {
		if err := k.await(ctx, h, try); err != nil {
			return nil, err
		}
		lost := h.Err()
		if lost == nil || try {
			return h, nil
		}
		k.release(h)
		k.conn.pause(ctx, b, lost)
		h = newHold(k, h.want, h.from)
	}
}

// await starts the wait that h is to be, and returns nil when it is granted.
func (k *courier) await(ctx context.Context, h *Hold, try bool) error {
	if err := k.start(lessee.ClassWait, h.want.op(try, &h.from), &h.call); err != nil {
		return fmt.Errorf("%s: %w", h.want.ref, err)
	}
	var patience <-chan time.Time
	if _, bounded := ctx.Deadline(); try && !bounded {
		t := time.NewTimer(tryPatience)
		defer t.Stop()
		patience = t.C
	}
	return k.granted(ctx, h.want.ref.String(), h, patience)
}

// granted waits for h to be granted, as long as ctx and patience.
func (k *courier) granted(ctx context.Context, op string, h *Hold, patience <-chan time.Time) error {
	select {
	case o := <-h.call.done:
		if o.Verdict == lessee.Granted {
			out, _ := o.Body.(*coordv1.Outcome)
			h.waitedFor = out.GetWaitedFor()
			return nil
		}
		return h.want.refused(o)
	case <-ctx.Done():
		k.release(h)
		return contextEnded(ctx, op, k.outage())
	case <-patience:
		k.release(h)
		return fmt.Errorf("%s: no answer in %v: %w", op, tryPatience, ErrUnavailable)
	case <-k.draining:
		k.release(h)
		return fmt.Errorf("%s: %w", op, ErrClientClosed)
	}
}

// refused is the error of a wait that ended without a hold.
func (w *want) refused(o lessee.Outcome) error {
	_, err := answer(w.ref.String(), o)
	out, _ := o.Body.(*coordv1.Outcome)
	switch busy, _ := errors.AsType[*BusyError](err); {
	case busy != nil:
		return busy // it names the object itself
	case w.ref.Kind == KindSemaphore && out.GetCode() == coordv1.Code_CODE_INVALID && out.GetValue() > 0:
		return fmt.Errorf("%s: %w: %d permits are more than the limit of %d",
			w.ref, ErrInvalid, w.permits, out.GetValue())
	case w.ref.Kind == KindChan && errors.Is(err, ErrMismatch) && out.GetValue() != codecDiffers:
		return fmt.Errorf("%s: %w: it was made with capacity %d", w.ref, ErrMismatch, out.GetValue())
	case w.ref.Kind == KindSemaphore && errors.Is(err, ErrNotFound):
		return fmt.Errorf("%s: %w: it has no limit yet: give one", w.ref, ErrNotFound)
	case err == nil:
		return fmt.Errorf("%s: %w: the cluster answered %v", w.ref, ErrUnknown, out.GetCode())
	}
	return err
}

// acquireForever is acquire without an error to return: it waits over outages and over
// limits of the cluster, panics with what is definitely refused, and never returns once
// the client is closed.
func (k *courier) acquireForever(w *want) *Hold {
	for b := newBackOff(); ; {
		var h *Hold
		err := w.fault
		if err == nil {
			h, err = k.obtain(context.Background(), newHold(k, w, origin{}), false)
		}
		switch {
		case err == nil:
			return h
		case errors.Is(err, ErrClientClosed):
			k.park(w.ref)
		case errors.Is(err, ErrLimit):
			k.conn.pause(context.Background(), b, err)
		default:
			panic(fmt.Errorf("client: %w", err))
		}
	}
}

// tryForBool is acquire for the Try methods that return a bool; nil is false.
func (k *courier) tryForBool(w *want) *Hold {
	if w.fault != nil {
		panic(fmt.Errorf("client: %s: %w", w.ref, w.fault))
	}
	h := newHold(k, w, origin{})
	err := k.await(context.Background(), h, true)
	switch {
	case err == nil && h.Err() == nil:
		return h
	case err == nil:
		k.release(h)
		return nil
	case errors.Is(err, ErrBusy), errors.Is(err, ErrUnavailable), errors.Is(err, ErrLimit), errors.Is(err, ErrClientClosed):
		return nil
	}
	panic(fmt.Errorf("client: %w", err))
}

// park never returns: the calls of sync have no way to say that the client was closed.
func (k *courier) park(ref Ref) {
	k.parked.Do(func() {
		k.cfg.network.logger.Warn("client is closed: its sync-shaped calls wait for ever", "first", ref.String())
	})
	select {}
}

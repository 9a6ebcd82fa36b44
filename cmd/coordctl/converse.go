package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"coordd.dev/client"
)

// This file has what the commands have in common that make calls in a session of their own and run
// nothing under it: send, recv, close, map, waitgroup, delete.

// converse opens a session, calls f, and ends the session, also when a signal comes: then
// the exit code is 128 and its number.
func (a *app) converse(ctx context.Context, what string, f func(ctx context.Context, c *client.Client) error) error {
	targets, err := a.targets()
	if err != nil {
		return &failure{what: err.Error(), next: "write host:port[,host:port...]", code: exitUsage}
	}
	return a.interruptible(ctx, func(ctx context.Context) error {
		c, err := a.session(ctx, what, targets)
		if err != nil {
			return err
		}
		return errors.Join(f(ctx, c), c.Close())
	})
}

func (a *app) session(ctx context.Context, what string, targets []string) (*client.Client, error) {
	limit := time.Duration(a.timeout)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	verb, _, _ := strings.Cut(what, " ")
	c, err := client.Dial(ctx, strings.Join(targets, ","), a.dialOptions("coordctl "+verb)...)
	if err != nil {
		return nil, dialError(what, targets, err, limit, exitUnavailable)
	}
	return c, nil
}

// answered is a ctx for calls that do not wait: they have --timeout.
func (a *app) answered(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, time.Duration(a.timeout), errLate)
}

// errLate is why a call ended: --timeout passed.
var errLate = errors.New("no answer in time")

// sessionError gives the error of a call in a session its words and its exit code; nil is nil.
func sessionError(what string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{what: what, code: exitFailed}
	for _, known := range []struct {
		is   error
		code int
		next string
	}{
		{client.ErrUnknown, exitFailed, outcomeUnknown},
		{client.ErrBusy, exitHeld, ""},
		{client.ErrNotFound, exitNotFound, ""},
		{client.ErrClosed, exitRefused, ""},
		{client.ErrMismatch, exitRefused, ""},
		{client.ErrInvalid, exitRefused, ""},
		{client.ErrLimit, exitRefused, ""},
		{client.ErrForbidden, exitRefused, askKeeper},
		{client.ErrUnavailable, exitUnavailable, "try again"},
		{client.ErrCutShort, exitFailed, "somebody ended before it was done"},
		{errLate, exitTimeout, ""},
	} {
		if !errors.Is(err, known.is) {
			continue
		}
		f.code, f.next, f.why = known.code, known.next, known.is.Error()
		f.made = errors.Is(err, client.ErrMismatch)
		if i := strings.Index(err.Error(), f.why); i >= 0 { // what is before names the object, as what does
			f.why = clean(err.Error()[i:])
		}
		return f
	}
	f.why = clean(err.Error())
	return f
}

// madeOtherwise is what to do about a capacity or a codec that differs.
func madeOtherwise(kind, name string) string {
	return "give what it was made with: see coordctl describe " + kind + " " + show(name)
}

// waitFlags are -n and -w of what waits and runs nothing.
type waitFlags struct {
	nonblock bool
	limit    duration
}

func (f *waitFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.nonblock, "nonblock", "n", false, "do not wait")
	cmd.Flags().VarP(&f.limit, "wait", "w", "wait no longer than `DUR`")
}

func (f *waitFlags) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("wait") {
		if f.nonblock {
			return misuse(cmd, "either -n or -w")
		}
		f.nonblock = f.limit == 0 // as in flock
	}
	return nil
}

// choose waits for one thing, as the flags say. Facts is what is in the way, for people; "" if
// there is no answer. It returns false if the thing was not to be had, with the failure that says
// so, and true with what came of it.
func (f *waitFlags) choose(ctx context.Context, a *app, of client.Case, facts func(context.Context) string, what string) (bool, error) {
	cases := []client.Case{of}
	switch {
	case f.nonblock:
		cases = append(cases, client.Default())
	case f.limit > 0:
		cases = append(cases, client.After(time.Duration(f.limit)))
	}
	look := func() string {
		ctx, cancel := context.WithTimeout(ctx, factsLimit)
		defer cancel()
		if s := facts(ctx); s != "" {
			return s
		}
		return "no answer from the cluster"
	}
	hush := func() {}
	if !f.nonblock {
		hush = after(quiet, func() { fmt.Fprintf(a.stderr, "coordctl: %s: waiting: %s\n", what, look()) })
	}
	asked := ctx
	if f.nonblock {
		var cancel context.CancelFunc
		asked, cancel = a.answered(ctx)
		defer cancel()
	}
	got, err := client.Select(asked, cases...)
	hush()
	switch done, ok := got.(*client.DoneCase); {
	case err != nil && ctx.Err() != nil && !errors.Is(err, client.ErrUnknown):
		return false, context.Cause(ctx) // a signal, which has its own exit code
	case err != nil:
		return false, sessionError(what, err)
	case got == of && ok:
		return true, sessionError(what, done.Err)
	case got == of:
		return true, nil
	case f.nonblock:
		return false, &failure{what: what, why: "would wait: " + look(), code: exitHeld}
	}
	return false, &failure{what: what, why: "not in " + short(time.Duration(f.limit)) + ": " + look(), code: exitTimeout}
}

// whileRead has f's ctx end once nobody reads stdout any more.
func (a *app) whileRead(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unread := whenGone(a.stdout, func() { cancel(unwritten(syscall.EPIPE)) })
	defer unread()
	err := f(ctx)
	if gone, ok := errors.AsType[exitCode](context.Cause(ctx)); ok {
		return gone
	}
	return err
}

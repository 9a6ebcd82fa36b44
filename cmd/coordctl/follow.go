package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
)

const (
	// watchSilence is how long a watch may say nothing before it is taken for cut off:
	// a node says every five seconds how far it is.
	watchSilence = 15 * time.Second

	// Between tries to take a watch up again.
	retryFirst = 50 * time.Millisecond
	retryMost  = time.Second
)

var (
	errSilent = errors.New("nothing heard")                // for so long that the stream was given up
	errMoved  = errors.New("another node answered a look") // and is followed from now on
)

// A following is a watch over all the streams that it takes.
type following struct {
	nodes *nodes
	what  string
	req   *coordv1.WatchRequest // after is moved on
	hear  func(ctx context.Context, r *coordv1.WatchResponse, anew bool) error

	begun bool // something was heard
	told  bool // that the watch is cut
}

// run passes on all that the watch says until ctx ends or hear fails. With anew the present
// state is to be shown: at first, and when changes were skipped. A watch that is cut
// is taken up after the last revision that was heard of. To begin, each node is asked once,
// within --timeout; afterwards an outage is ridden out, and told after a second.
func (f *following) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unread := whenGone(f.nodes.app.stdout, func() { cancel(unwritten(syscall.EPIPE)) })
	defer unread()
	pause, since := retryFirst, time.Now()
	for tries := 1; ; tries++ {
		heard, err := f.stream(ctx)
		if heard {
			pause, since, f.told = retryFirst, time.Now(), false
		}
		var end *ending
		switch {
		case ctx.Err() != nil: // which may have failed a look
			return context.Cause(ctx)
		case errors.As(err, &end):
			return end.err
		case f.req.GetAfter() > 0 && reason(err) == coordv1.Reason_REASON_INVALID:
			// The revision is one of the future: the cluster was made anew.
			f.say("%s: the cluster counts its changes anew; beginning again", f.what)
			f.req.After = nil
			continue
		case errors.Is(err, errMoved):
			continue
		case !unanswered(err) && !elsewhere(err),
			!f.begun && (unanswered(err) || tries >= len(f.nodes.targets)): // a look asks all nodes
			return f.failure(err)
		}
		if f.begun && !f.told && time.Since(since) > quiet {
			f.say("%s: cut off from %s: %s; trying again", f.what, f.nodes, f.failure(err).why)
			f.told = true
		}
		f.nodes.next()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		pause = min(2*pause, retryMost)
	}
}

func (f *following) say(format string, args ...any) {
	fmt.Fprintf(f.nodes.app.stderr, "coordctl: "+format+"\n", args...)
}

// failure gives the end of a stream its words.
func (f *following) failure(err error) *failure {
	if fail, ok := errors.AsType[*failure](err); ok {
		return fail
	}
	return callError(f.what, f.nodes.String(), err)
}

// unanswered reports whether err is of a look at what has changed to which no node had an
// answer. That is an outage like any other.
func unanswered(err error) bool {
	fail, ok := errors.AsType[*failure](err)
	return ok && (fail.code == exitUnavailable || fail.code == exitTimeout)
}

// An ending is an error that ends the whole, not one stream.
type ending struct{ err error }

func (e *ending) Error() string { return e.err.Error() }

// stream is one stream of the watch. It reports whether anything was heard.
func (f *following) stream(ctx context.Context) (heard bool, err error) {
	conn, err := f.nodes.conn()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := watchSilence
	if !f.begun {
		limit = time.Duration(f.nodes.app.timeout) / time.Duration(len(f.nodes.targets))
	}
	silence := time.AfterFunc(limit, func() { cancel(errSilent) })
	defer silence.Stop()
	w, err := coordv1.NewInspectServiceClient(conn).Watch(ctx, f.req)
	if err != nil {
		return false, err
	}
	for anew := f.req.After == nil; ; anew = false {
		r, err := w.Recv()
		if errors.Is(context.Cause(ctx), errSilent) {
			return heard, status.Error(codes.DeadlineExceeded, errSilent.Error())
		}
		if err != nil {
			return heard, err
		}
		silence.Stop()
		if f.begun && anew && r.GetPresent() == nil {
			r.Skipped = r.GetRevision() // of a cluster that counts anew all of it was missed
		}
		if err := f.hear(ctx, r, anew || r.GetSkipped() > 0); unanswered(err) {
			return heard, err // after stays, so that r comes again
		} else if err != nil {
			return heard, &ending{err}
		}
		heard, f.begun = true, true
		f.req.After = new(max(f.req.GetAfter(), r.GetRevision()))
		if now, err := f.nodes.conn(); err != nil || now != conn {
			return heard, errMoved // conn is closed
		}
		silence.Reset(watchSilence)
	}
}

// interruptible runs f until a signal ends its ctx: then the exit code is 128 and the
// signal's number.
func (a *app) interruptible(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	defer signal.Stop(signals)
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		select {
		case sig := <-signals:
			if s, ok := sig.(syscall.Signal); ok {
				cancel(&interrupted{s})
			}
		case <-ctx.Done():
		}
	}()
	err := f(ctx)
	cancel(nil)
	<-done
	if i, ok := errors.AsType[*interrupted](context.Cause(ctx)); ok {
		return exitCode(exitSignal + int(i.sig))
	}
	return err
}

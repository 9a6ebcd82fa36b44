package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"coordd.dev/client"
)

// A watcher is one run of elect --observe.
type watcher struct {
	*app
	name    string
	targets []string
}

// observe prints who leads until a signal comes, or nobody reads it any more. The cluster
// may take limit to answer at first.
func (a *app) observe(ctx context.Context, name string, limit time.Duration) error {
	targets, err := a.targets()
	if err != nil {
		return &failure{what: err.Error(), next: "write host:port[,host:port...]", code: exitUsage}
	}
	w := &watcher{app: a, name: name, targets: targets}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := interruptOn(cancel)
	defer stop()
	unread := whenGone(a.stdout, func() { cancel(unwritten(syscall.EPIPE)) })
	defer unread()
	c, err := w.connect(ctx, limit)
	if err == nil {
		err = errors.Join(w.print(ctx, c), c.Close())
	}
	if i, ok := errors.AsType[*interrupted](context.Cause(ctx)); ok {
		return exitCode(exitSignal + int(i.sig))
	}
	if gone, ok := errors.AsType[exitCode](context.Cause(ctx)); ok {
		return gone
	}
	return err
}

// interruptOn cancels at the first signal. Those of a pipe that nobody reads are turned
// into errors of writing to it.
func interruptOn(cancel context.CancelCauseFunc) (stop func()) {
	signals, pipes := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case sig := <-signals:
			if s, ok := sig.(syscall.Signal); ok {
				cancel(&interrupted{s})
			}
		case <-done:
		}
	}()
	return func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		close(done)
		<-stopped
	}
}

func (w *watcher) title() string { return "elect " + show(w.name) }

func (w *watcher) say(format string, args ...any) {
	fmt.Fprintf(w.stderr, "coordctl: "+w.title()+": "+format+"\n", args...)
}

// connect opens the connection, which comes with a session.
func (w *watcher) connect(ctx context.Context, limit time.Duration) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	hush := after(quiet, func() {
		fmt.Fprintf(w.stderr, "coordctl: no answer from %s yet; trying for %s\n", strings.Join(w.targets, ","), short(limit))
	})
	defer hush()
	c, err := client.Dial(ctx, strings.Join(w.targets, ","),
		w.dialOptions("coordctl elect --observe", client.WithLogger(slog.New(reachLog{w})))...)
	if err != nil {
		return nil, dialError(w.title(), w.targets, err, limit, exitUnavailable)
	}
	return c, nil
}

// print writes a line for every state, at once.
func (w *watcher) print(ctx context.Context, c *client.Client) error {
	for l, err := range c.Election(w.name).Observe(ctx) {
		if err != nil {
			why := strings.TrimPrefix(err.Error(), "observe election "+w.name+": ")
			return &failure{what: w.title(), why: why, code: exitRefused}
		}
		if l.Missed > 0 {
			w.say("%s may have been missed before this", plural(int(l.Missed), "change"))
		}
		if err := w.text(w.line(l) + "\n"); err != nil {
			return err
		}
	}
	return nil
}

type leaderView struct {
	State    string            `json:"state"` // leader or vacant
	Term     string            `json:"term"`
	Value    string            `json:"value"`
	Session  string            `json:"session,omitempty"`
	Name     string            `json:"name,omitempty"`
	Note     string            `json:"note,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Missed   uint64            `json:"missed"`
}

// line is a state in words. What a vacancy tells besides is of the last leader.
func (w *watcher) line(l client.Leader) string {
	v := leaderView{
		State: "leader", Term: l.Term.String(), Value: l.Value,
		Session: string(l.Who.Session), Name: l.Who.Name, Note: l.Who.Note, Metadata: l.Who.Metadata,
		Missed: l.Missed,
	}
	if l.Vacant {
		v.State = "vacant"
	}
	if w.output == "json" {
		b, err := json.Marshal(v)
		if err != nil { // strings and a number always marshal
			panic(err)
		}
		return string(b)
	}
	if l.Term == 0 {
		return v.State
	}
	return v.State + " " + v.Term + " " + show(v.Value) + " " + clean(l.Who.String())
}

// A reachLog is what the client logs: of that, only how an observer fares is for people.
type reachLog struct{ w *watcher }

func (reachLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (r reachLog) Handle(_ context.Context, rec slog.Record) error {
	if how, ok := strings.CutPrefix(rec.Message, "observer "); ok {
		r.w.say("%s", how)
	}
	return nil
}

func (r reachLog) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r reachLog) WithGroup(string) slog.Handler      { return r }

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"coordd.dev/client"
)

const (
	dialLimit    = 10 * time.Second // for a cluster to answer at all
	releaseLimit = 2 * time.Second  // for it to confirm that the run is over
	quiet        = time.Second      // before a word is said about waiting
	factsLimit   = time.Second      // for it to say who holds what is wanted; -w is late by so much at most
)

// An attempt is one run of lock, sem, elect, recv --ack or waitgroup run.
type attempt struct {
	*app
	*order
	targets   []string
	ancestors lineage
	signals   chan os.Signal
}

// A holding is what an attempt got.
type holding interface {
	Token() client.Token
	Context() context.Context
	Err() error
	Lost() <-chan struct{}
	Unlock(ctx context.Context) error
}

// A led is the holding of an election.
type led struct{ *client.Leadership }

func (l led) Unlock(ctx context.Context) error { return l.Resign(ctx) }

// interrupted is why waiting ended: a signal came.
type interrupted struct{ sig syscall.Signal }

func (i *interrupted) Error() string { return "interrupted by " + i.sig.String() }

// errNotInTime is why waiting ended: -w passed.
var errNotInTime = errors.New("not in time")

// runUnder acquires what is wanted, runs the command and lets go. The order of the
// checks is that of their cost: words, the file system, the cluster.
func (a *app) runUnder(ctx context.Context, o *order) error {
	targets, err := a.targets()
	if err != nil {
		return &failure{what: err.Error(), next: "write host:port[,host:port...]", code: exitCoordctl}
	}
	ancestors, err := parseLineage(a.getenv(envLineage))
	if err != nil {
		return &failure{what: envLineage, why: err.Error(), next: "unset it", code: exitCoordctl}
	}
	t := &attempt{app: a, order: o, targets: targets, ancestors: ancestors, signals: make(chan os.Signal, 16)}
	if len(ancestors) >= maxLineage {
		return t.failed(fmt.Sprintf("nested in %d runs already", len(ancestors)), "", exitCoordctl)
	}
	ctx, err = client.ContextWithLineage(ctx, ancestors.ids()...)
	if err != nil {
		return &failure{what: envLineage, why: err.Error(), next: "unset it", code: exitCoordctl}
	}
	if why := ancestors.conflict(o.want); why != "" {
		return t.failed("would wait for itself: "+why, "", exitCoordctl)
	}
	cmd, fail := a.prepare(o.argv)
	if fail != nil {
		return fail
	}
	t.notify()
	defer signal.Stop(t.signals)
	if o.want.kind == kindChannel {
		return t.work(ctx, cmd)
	}
	return t.run(ctx, cmd)
}

// notify asks for the signals that are the child's. One that coordctl was started
// with ignored, as under nohup, stays ignored for both.
func (t *attempt) notify() {
	for _, sig := range []os.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
	} {
		if !signal.Ignored(sig) {
			signal.Notify(t.signals, sig)
		}
	}
}

func (t *attempt) run(ctx context.Context, cmd *exec.Cmd) error {
	c, hold, err := t.acquire(ctx, nil)
	if c != nil {
		defer t.end(ctx, c, hold)
	}
	if err != nil {
		return err
	}
	_, err = t.under(c, hold, cmd)
	return err
}

// under runs the command, to its end. The child is nil if there was none.
func (t *attempt) under(c *client.Client, hold holding, cmd *exec.Cmd) (*child, error) {
	if hold.Err() != nil { // paused since it was granted
		return nil, t.lostError(hold, "not started")
	}
	held := t.want
	if ids := client.LineageFrom(hold.Context()); len(ids) > 0 {
		held.id = ids[0]
	}
	cmd.Env = childEnv(t.environ, held, hold.Token(), c.Session().ID, t.ancestors)
	if d, ok := hold.(received); ok {
		d.feed(cmd)
	}
	child, err := start(cmd)
	if err != nil {
		return nil, cannotRun(t.argv[0], err)
	}
	why, err := t.guard(hold).supervise(child)
	switch why {
	case lostLock:
		return child, t.lostError(hold, "stopped")
	case ranTooLong:
		return child, t.failed("ran longer than "+short(t.limit)+": "+show(t.argv[0])+" was stopped", "", exitTimeout)
	case onItsOwn:
	}
	if status := exitStatus(err); status != 0 {
		return child, exitCode(status)
	}
	return child, nil
}

// acquire opens a session, unless there is one, and waits for what is wanted. It returns the
// client even with an error, if there is one to close. A signal that races the grant wins:
// nothing has been run yet.
func (t *attempt) acquire(ctx context.Context, c *client.Client) (*client.Client, holding, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	caught := t.watch(ctx, cancel)
	var hold holding
	var err error
	if c == nil {
		c, err = t.connect(ctx)
	}
	if err == nil {
		hold, err = t.await(ctx, cancel, c)
	}
	cancel(nil)
	if i := caught(); i != nil {
		return c, hold, exitCode(exitSignal + int(i.sig))
	}
	return c, hold, err
}

// watch cancels ctx at the first signal. Caught returns, once ctx has ended, which that
// was, nil if none: ctx may have ended for another reason just before it.
func (t *attempt) watch(ctx context.Context, cancel context.CancelCauseFunc) (caught func() *interrupted) {
	first := make(chan *interrupted, 1)
	go func() { // ends with ctx
		defer close(first)
		select {
		case sig := <-t.signals:
			if s, ok := sig.(syscall.Signal); ok {
				first <- &interrupted{s}
				cancel(&interrupted{s})
			}
		case <-ctx.Done():
		}
	}()
	return func() *interrupted { return <-first }
}

// patience is how long the cluster may take to answer a question that has d for it.
func (t *attempt) patience(d time.Duration) time.Duration {
	if t.answer != 0 {
		return t.answer
	}
	return d
}

// await waits for what is wanted, and says so if it takes long.
func (t *attempt) await(ctx context.Context, cancel context.CancelCauseFunc, c *client.Client) (holding, error) {
	if t.try {
		limit := t.patience(dialLimit)
		ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("no answer in "+short(limit)))
		defer cancel()
		hold, err := t.ask(ctx, c)
		return hold, t.unmet(err, "")
	}
	n := t.narrate(ctx, cancel, c)
	hold, err := t.ask(ctx, c)
	facts := n.stop()
	return hold, t.unmet(err, facts)
}

// unmet is the error of ask with its words; nil is nil. That nothing comes any more is for work
// to say.
func (t *attempt) unmet(err error, facts string) error {
	if err == nil || errors.Is(err, errDrained) {
		return err
	}
	return t.refused(err, facts)
}

// ask is the one call that takes what is wanted.
func (t *attempt) ask(ctx context.Context, c *client.Client) (holding, error) {
	w := t.want
	switch w.kind {
	case kindElection:
		l, err := c.Election(w.name, client.WithPriority(w.priority)).Campaign(ctx, w.value)
		if err != nil {
			return nil, err
		}
		return led{l}, nil
	case kindChannel:
		return t.receive(ctx, c)
	case kindWaitGroup:
		return t.join(ctx, c)
	}
	hold, err := t.askHold(ctx, c)
	if err != nil {
		return nil, err
	}
	return hold, nil
}

func (t *attempt) askHold(ctx context.Context, c *client.Client) (*client.Hold, error) {
	w := t.want
	switch {
	case w.kind == kindSemaphore && t.try:
		return c.Semaphore(w.name, w.limit).TryAcquireHold(ctx, w.count)
	case w.kind == kindSemaphore:
		return c.Semaphore(w.name, w.limit).AcquireHold(ctx, w.count)
	case w.shared && t.try:
		return c.RWMutex(w.name).TryRLockContext(ctx)
	case w.shared:
		return c.RWMutex(w.name).RLockContext(ctx)
	case t.try:
		return c.Mutex(w.name).TryLockContext(ctx)
	default:
		return c.Mutex(w.name).LockContext(ctx)
	}
}

// guard says what to watch the child of hold for.
func (t *attempt) guard(hold holding) guard {
	return guard{signals: t.signals, lost: hold.Lost(), err: hold.Err, killAfter: t.grace, maxRun: t.limit}
}

// end lets go of everything. What the cluster does not confirm in time it will find
// out by the lease.
func (t *attempt) end(ctx context.Context, c *client.Client, hold holding) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	var err error
	known := hold == nil || errors.Is(hold.Err(), client.ErrLost) // then all is said
	if hold != nil {
		err = hold.Unlock(ctx)
		known = known || errors.Is(err, client.ErrLost) // it was lost meanwhile
	}
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }() // ends by itself, or with the process
	select {
	case cerr := <-closed:
		err = errors.Join(err, cerr)
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	if err != nil && !known {
		t.say("%s: the cluster has not confirmed the release; %s in %s at the latest",
			t.title(), t.want.word("it is free", "another leads"), short(t.ttl))
	}
}

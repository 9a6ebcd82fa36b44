package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"coordd.dev/client"
)

// title names what is wanted: "lock deploy".
func (t *attempt) title() string { return t.verb + " " + show(t.want.name) }

// say writes a line for people.
func (t *attempt) say(format string, args ...any) {
	fmt.Fprintf(t.stderr, "coordctl: "+format+"\n", args...)
}

func (t *attempt) failed(why, next string, code int) *failure {
	return &failure{what: t.title(), why: why, next: next, code: code}
}

// dialError says that no node gave a session. Which was asked and what was wrong with
// it, the client says best, if it had the time to find out.
func dialError(title string, targets []string, err error, limit time.Duration, code int) *failure {
	said := err.Error()
	switch {
	case !errors.Is(err, client.ErrUnavailable):
		return &failure{what: title, why: said, code: code}
	case strings.HasPrefix(said, "dial: "):
		return &failure{
			what: "no coordd at " + strings.Join(targets, ","), why: "no answer in " + short(limit),
			next: "start one: coordd dev", code: code,
		}
	}
	what, next, _ := strings.Cut(said, "; ")
	return &failure{what: what, next: next, code: code}
}

// refused says why the lock was not had. Only a rival is 75; everything else is a
// failure of coordctl, so that no script takes an outage for a held lock.
func (t *attempt) refused(err error, facts string) *failure {
	if busy, ok := errors.AsType[*client.BusyError](err); ok {
		return t.failed("not acquired: "+t.want.held(busy.Holders, busy.Waiting), "", t.code)
	}
	if errors.Is(err, errNotInTime) { // not if it was refused just then for another reason
		if facts == "" {
			facts = "the cluster did not say who " + t.want.word("holds", "leads") + " it"
		}
		return t.failed(t.want.word("not acquired in ", "not elected in ")+short(t.wait)+": "+facts, "", t.code)
	}
	next := ""
	if errors.Is(err, client.ErrMismatch) {
		next = "give the limit that the others give"
	}
	// The client's errors begin as ours do, with what was asked for.
	why := strings.TrimPrefix(err.Error(), t.want.kind+" "+t.want.name+": ")
	return t.failed(why, next, exitCoordctl)
}

// lostError says that the command was stopped, or never started, because it could no
// longer be alone.
func (t *attempt) lostError(hold holding, fate string) *failure {
	why := "lost: the lease could not be renewed in time"
	if lost, ok := errors.AsType[*client.LostError](hold.Err()); ok {
		why = "lost: " + lost.Reason.String()
		if lost.Detail != "" {
			why += " (" + lost.Detail + ")"
		}
	}
	return t.failed(why+"; "+show(t.argv[0])+" was "+fate, "", exitLost)
}

// word chooses between the words of what is held and those of what is led.
func (c claim) word(held, led string) string {
	if c.kind == kindElection {
		return led
	}
	return held
}

// held says who holds something and how many are to have it next.
func (c claim) held(holders []client.Holder, ahead int) string {
	s := c.word("held", "led") + " by nobody now"
	if len(holders) > 0 {
		h := holders[0]
		s = c.word("held ", "led ") + short(h.For) + " by " + clean(h.String())
		if more := len(holders) - 1; more > 0 {
			s += fmt.Sprintf(" and %d more", more)
		}
	}
	if ahead > 0 {
		s += fmt.Sprintf(", %d ahead", ahead)
	}
	return s
}

// A narrator tells the person at the terminal what is waited for: after a second, and
// on a terminal from then on. It also keeps -w, because the facts are best asked for
// just before the wait is given up: then our own place in the queue is among them.
type narrator struct {
	*attempt
	client *client.Client
	giveUp context.CancelCauseFunc
	cancel context.CancelFunc
	done   chan struct{}
	facts  string // of the last moment; read after done
}

func (t *attempt) narrate(ctx context.Context, giveUp context.CancelCauseFunc, c *client.Client) *narrator {
	ctx, cancel := context.WithCancel(ctx)
	n := &narrator{attempt: t, client: c, giveUp: giveUp, cancel: cancel, done: make(chan struct{})}
	go n.run(ctx)
	return n
}

// stop ends the narrator and returns the facts it gave up with.
func (n *narrator) stop() string {
	n.cancel()
	<-n.done
	return n.facts
}

func (n *narrator) run(ctx context.Context) {
	defer close(n.done)
	limit := newTimer(n.wait)
	defer limit.Stop()
	waiting := ctx
	if n.wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, n.wait) // when limit fires
		defer cancel()
	}
	speak := time.NewTimer(quiet)
	defer speak.Stop()
	rewrite, spoken := isTerminal(n.stderr), false
	for {
		select {
		case <-ctx.Done():
		case <-limit.C:
			n.facts = n.describe(ctx)
			n.giveUp(errNotInTime)
		case <-speak.C:
			if facts := n.describe(waiting); waiting.Err() == nil { // else the wait is over
				n.tell(facts, rewrite)
				spoken = true
			}
			if rewrite {
				speak.Reset(quiet)
			}
			continue
		}
		if rewrite && spoken {
			fmt.Fprint(n.stderr, "\r\x1b[K")
		}
		return
	}
}

func (n *narrator) tell(facts string, rewrite bool) {
	if facts == "" {
		facts = "no answer from the cluster"
	}
	line := "coordctl: waiting for " + show(n.want.name) + ": " + facts
	if rewrite {
		fmt.Fprint(n.stderr, "\r"+line+"\x1b[K")
		return
	}
	fmt.Fprintln(n.stderr, line)
}

// describe returns who holds it and how many are ahead of us, "" if there is no answer.
func (n *narrator) describe(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, min(factsLimit, n.patience(factsLimit)))
	defer cancel()
	d, err := n.client.Describe(ctx, kinds()[n.want.kind], n.want.name)
	if err != nil {
		return ""
	}
	ahead := d.Waiting // if we do not wait yet
	if ahead > len(d.Waiters) {
		ahead-- // beyond those listed
	}
	me := n.client.Session().ID
	for i, w := range d.Waiters {
		if w.Session == me {
			ahead = i
			break
		}
	}
	return n.want.held(d.Holders, ahead)
}

// kinds are the client's names of ours.
func kinds() map[string]client.Kind {
	return map[string]client.Kind{
		kindLock: client.KindLock, kindSemaphore: client.KindSemaphore, kindElection: client.KindElection,
	}
}

// after runs f after d, unless the returned function is called before. That waits for
// an f that runs.
func after(d time.Duration, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			f()
		case <-ctx.Done():
		}
	}()
	return func() { cancel(); <-done }
}

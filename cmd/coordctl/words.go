package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
	"coordd.dev/internal/certs"
)

// askKeeper is what to do next where something is forbidden.
const askKeeper = "ask whoever keeps the credentials file for the right to it"

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
	if errors.Is(err, client.ErrForbidden) && code == exitUnavailable {
		code = exitRefused
	}
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
	if certs.FaultOf(what) != "" {
		next = nextFor(what)
	}
	return &failure{what: what, next: next, code: code}
}

// refused says why the lock was not had. Only a rival is 75; everything else is a
// failure of coordctl, so that no script takes an outage for a held lock.
func (t *attempt) refused(err error, facts string) *failure {
	if busy, ok := errors.AsType[*client.BusyError](err); ok {
		return t.failed("not acquired: "+t.want.held(busy.Holders, busy.Waiting), "", t.code)
	}
	if dead, ok := errors.AsType[*client.DeadlockError](err); ok {
		return t.failed("deadlock: "+deadlock(dead), "take them in one order everywhere", exitCoordctl)
	}
	if errors.Is(err, errNotInTime) { // not if it was refused just then for another reason
		if facts == "" {
			facts = "the cluster did not say who " + t.want.word("holds", "leads") + " it"
			if t.want.kind == kindChannel {
				facts = "the cluster did not say what is in it"
			}
		}
		return t.failed(t.want.word("not acquired in ", "not elected in ")+short(t.wait)+": "+facts, "", t.code)
	}
	next := ""
	if errors.Is(err, client.ErrMismatch) {
		next = "give the limit that the others give"
		if t.want.kind == kindChannel {
			next = madeOtherwise("channel", t.want.name)
		}
	}
	if errors.Is(err, client.ErrForbidden) {
		next = askKeeper
	}
	// The client's errors begin as ours do, with what was asked for.
	why := strings.TrimPrefix(err.Error(), t.want.kind+" "+t.want.name+": ")
	return t.failed(why, next, exitCoordctl)
}

// deadlock is a cycle in words: who holds what, and waits for what.
func deadlock(err *client.DeadlockError) string {
	var all []string
	for _, w := range err.Cycle {
		holds := make([]string, len(w.Holds))
		for i, r := range w.Holds {
			holds[i] = refWords(r)
		}
		s := clean(w.Who.String()) + " holds " + strings.Join(holds, " and ") + " and waits for " + refWords(w.Wants)
		if w.Skipped > 0 {
			s += fmt.Sprintf(" (and %d more)", w.Skipped)
		}
		all = append(all, s)
	}
	return strings.Join(all, ", while ")
}

// refWords names an object, and the line of a program that asked for it if that is known.
func refWords(r client.Ref) string {
	s := kindWord(coordv1.Kind(r.Kind)) + " " + show(r.Name)
	if r.At != "" && !ownSite(r.At) {
		s += " (" + clean(r.At) + ")"
	}
	return s
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
	if c.kind == kindChannel {
		s := "nothing is there to be received"
		if n := len(holders); n > 0 {
			s += ", but " + plural(n, "element") + " not yet acknowledged"
		}
		if ahead > 0 {
			s += fmt.Sprintf(", %d ahead", ahead)
		}
		return s
	}
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

// kinds are the client's names of ours.
func kinds() map[string]client.Kind {
	return map[string]client.Kind{
		kindLock: client.KindLock, kindSemaphore: client.KindSemaphore, kindElection: client.KindElection,
		kindChannel: client.KindChan, kindWaitGroup: client.KindWaitGroup,
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

package main

import (
	"context"
	"fmt"

	"coordd.dev/client"
)

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
	speak := newTimer(quiet)
	if n.follow { // a worker without work is no news
		speak = newTimer(0)
	}
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

package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [KIND] NAME",
		Short: "Say why something is held, what to expect, and what can be done",
		Long: `Say in sentences who holds a lock, a semaphore or an election, since when and why,
whether the holder is alive, who waits, what waits are to be expected if holds last as
long as they did lately, and what can be done. Without KIND the name is looked for in all
kinds. The id of a session explains the session.

Exit codes: 0 ok, 2 if several kinds have that name, 3 if nothing has and had it.`,
		Example: `  coordctl explain deploy
  coordctl explain election cron
  coordctl explain 000000000000002a`,
		DisableFlagsInUseLine: true,
		Args:                  between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			e := &explaining{app: a, of: objectTopics(), name: args[len(args)-1], what: "explain " + strings.Join(shown(args), " ")}
			if e.name == "" {
				return misuse(cmd, "NAME is empty")
			}
			session := len(args) == 1
			if len(args) == 2 {
				t, err := topicOf(args[0])
				switch {
				case err != nil:
					return misuse(cmd, err.Error())
				case t.object():
					e.of = []topic{t}
				case t.one == "session":
					e.of, session = nil, true
				default:
					return misuse(cmd, t.many+" are not explained; see coordctl status")
				}
			}
			return e.run(cmd.Context(), session)
		},
	}
}

// An explaining is one run of explain.
type explaining struct {
	*app
	of    []topic // where the name is looked for
	name  string
	what  string
	nodes *nodes
}

// An explanation is what -o json gives.
type explanation struct {
	Object    *describedView `json:"object,omitempty"`
	Session   *sessionView   `json:"session,omitempty"`
	HoldTimes *timesView     `json:"hold_times,omitempty"`
	Waits     []string       `json:"expected_waits,omitempty"` // of the waiters, in order
	Next      string         `json:"expected_wait_of_next,omitempty"`
	Sentences []string       `json:"sentences"`
	Command   string         `json:"command,omitempty"` // that would end it
}

type timesView struct {
	Count   int64  `json:"count"`
	Median  string `json:"median"`
	P90     string `json:"p90"`
	Longest string `json:"longest"`
}

func (e *explaining) run(ctx context.Context, session bool) (err error) {
	if e.nodes, err = e.app.nodes(); err != nil {
		return err
	}
	defer e.nodes.close()
	var found []*coordv1.ExplainObjectResponse
	for _, t := range e.of {
		r, err := e.ask(ctx, t)
		switch {
		case notFound(err):
		case err != nil:
			return err
		default:
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return e.absent(ctx, session)
	case 1:
		return e.tell(e.explain(found[0]))
	}
	var kinds []string
	for _, r := range found {
		kinds = append(kinds, kindWord(r.GetDescription().GetKind()))
	}
	return &failure{
		what: e.what, why: "there is a " + strings.Join(kinds, " and a ") + " of that name",
		next: "write coordctl explain " + kinds[0] + " " + show(e.name), code: exitUsage,
	}
}

func (e *explaining) ask(ctx context.Context, t topic) (r *coordv1.ExplainObjectResponse, err error) {
	err = e.nodes.ask(ctx, e.what, func(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
		r, err = coordv1.NewInspectServiceClient(conn).ExplainObject(ctx,
			&coordv1.ExplainObjectRequest{Kind: t.kind, Name: e.name})
		return err
	})
	return r, err
}

// absent explains what is not there: nobody has it, and perhaps it is known who had it
// last. It may also be a session's id.
func (e *explaining) absent(ctx context.Context, session bool) error {
	id, err := parseSessionID(e.name)
	switch {
	case session && err == nil:
		return e.session(ctx, id)
	case len(e.of) == 0:
		return &failure{what: e.what, why: err.Error(), next: "see coordctl session ls", code: exitUsage}
	}
	var last *coordv1.PastHold
	var of topic
	for _, t := range e.of {
		past, err := e.nodes.history(ctx, e.what, t, e.name, 1)
		if err != nil {
			return err
		}
		if len(past) > 0 && past[0].GetRevision() > last.GetRevision() {
			last, of = past[0], t
		}
	}
	if last == nil {
		return e.nodes.missing(ctx, e.what, e.name, e.of)
	}
	how, why := ended(last.GetEndReason())
	if why != "" {
		why = " (" + why + ")"
	}
	return e.tell(&explanation{
		Object: new(describedOf(&coordv1.Description{Kind: of.kind, Name: e.name}, []*coordv1.PastHold{last})),
		Sentences: []string{
			"Nobody holds " + of.one + " " + wholly(e.name) + ", and nobody waits for it.",
			whoIs(last.GetSessionId(), last.GetWho(), last.GetNote()) + " had it last, for " + short(last.GetHeld().AsDuration()) +
				", " + how + " at " + clockTime(last.GetEnded().AsTime()) + why + ".",
			"Nothing needs to be done: who asks for it has it at once.",
		},
	})
}

func (e *explaining) session(ctx context.Context, id uint64) error {
	list, err := e.sessions(ctx, e.what)
	if err != nil {
		return err
	}
	for _, s := range list.GetSessions() {
		if s.GetSessionId() == id {
			return e.tell(e.explainSession(s))
		}
	}
	return &failure{what: e.what, why: "there is no such session: it has ended, with all that it held", next: "see coordctl session ls", code: exitNotFound}
}

func (e *explaining) tell(x *explanation) error {
	if e.output == asJSON {
		return e.render(x, nil)
	}
	return e.text(strings.Join(x.Sentences, "\n") + "\n")
}

// revoke is the command that takes a session back, with the flags that this one was given.
func (e *explaining) revoke(session uint64) string {
	s := "coordctl "
	if e.endpoints != "" {
		s += "--endpoints " + e.endpoints + " "
	}
	if e.insecure {
		s += "--insecure "
	}
	return s + "session revoke " + formatSessionID(session)
}

func times(t *coordv1.HoldTimes) *timesView {
	if t == nil {
		return nil
	}
	return &timesView{t.GetCount(), millis(t.GetMedian().AsDuration()), millis(t.GetP90().AsDuration()), millis(t.GetLongest().AsDuration())}
}

// roughly is a duration that is a guess.
func roughly(d time.Duration) string {
	if d < time.Second {
		return "less than a second"
	}
	return "about " + short(d.Round(time.Second))
}

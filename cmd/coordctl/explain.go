package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

func (a *app) explainCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "explain [KIND] NAME [-w] [-o table|wide|json]",
		Short: "Say why something is held, what to expect, and what can be done",
		Long: `Say in sentences who holds a lock, a semaphore or an election, since when and why,
whether the holder is alive, who waits, which other waits it is held for, what waits are
to be expected if holds last as long as they did lately, and what can be done; and of
other kinds how things are with them. Without KIND the name is looked for in all
kinds. The id of a session explains the session. With -o wide the tables of describe
follow.

With -w, and KIND, it is said again whenever the object changes hands, on a terminal in
place, where it is said every five seconds besides; with json it is one line each time.

Exit codes: 0 ok, 2 if several kinds have that name, 3 if nothing has and had it.`,
		Example: `  coordctl explain deploy
  coordctl explain election cron -w
  coordctl explain 000000000000002a`,
		Annotations:           map[string]string{hasWide: ""},
		DisableFlagsInUseLine: true,
		Args:                  upToTwo(1),
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
			if watch && (len(args) < 2 || len(e.of) == 0) {
				return misuse(cmd, "-w needs a kind of object before the name")
			}
			return e.run(cmd.Context(), session, watch)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "say it again whenever it changes")
	return cmd
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

	desc *coordv1.Description // of an object that is held or waited for
}

type timesView struct {
	Count   int64  `json:"count"`
	Median  string `json:"median"`
	P90     string `json:"p90"`
	Longest string `json:"longest"`
}

func (e *explaining) run(ctx context.Context, session, watch bool) (err error) {
	if e.nodes, err = e.app.nodes(); err != nil {
		return err
	}
	defer e.nodes.close()
	if watch {
		return e.interruptible(ctx, func(ctx context.Context) error {
			return (&redrawing{app: e.app, look: e.view}).run(ctx, e.nodes, e.of[0], e.name, e.what)
		})
	}
	x, err := e.find(ctx, session)
	if err != nil {
		return err
	}
	if e.output == asJSON {
		return e.render(x, nil)
	}
	return e.text(e.words(x))
}

// view explains the object as it is now. What is not there, and was not, may still come.
func (e *explaining) view(ctx context.Context, revision uint64) (view, error) {
	x, err := e.find(ctx, false)
	if fail, ok := errors.AsType[*failure](err); ok && fail.code == exitNotFound {
		x, err = e.free(e.of[0], nil), nil
	}
	if err != nil {
		return view{}, err
	}
	return view{max(revision, x.desc.GetRevision()), x, e.words(x)}, nil
}

// words are for people.
func (e *explaining) words(x *explanation) string {
	s := strings.Join(x.Sentences, "\n") + "\n"
	if e.output != asWide || x.desc == nil {
		return s
	}
	var b bytes.Buffer
	(&describing{app: e.app}).describe(&b, x.desc)
	return s + "\n" + b.String()
}

func (e *explaining) find(ctx context.Context, session bool) (*explanation, error) {
	var found []*coordv1.ExplainObjectResponse
	for _, t := range e.of {
		r, err := e.ask(ctx, t)
		switch {
		case notFound(err):
		case err != nil:
			return nil, err
		default:
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return e.absent(ctx, session)
	case 1:
		x := e.explain(found[0], e.chain(ctx, found[0].GetDescription()))
		x.desc = found[0].GetDescription()
		return x, nil
	}
	var kinds []string
	for _, r := range found {
		kinds = append(kinds, kindWord(r.GetDescription().GetKind()))
	}
	return nil, &failure{
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
func (e *explaining) absent(ctx context.Context, session bool) (*explanation, error) {
	id, err := parseSessionID(e.name)
	switch {
	case session && err == nil:
		return e.session(ctx, id)
	case len(e.of) == 0:
		return nil, &failure{what: e.what, why: err.Error(), next: "see coordctl session ls", code: exitUsage}
	}
	var last *coordv1.PastHold
	var of topic
	for _, t := range e.of {
		past, err := e.nodes.history(ctx, e.what, t, e.name, 1)
		if err != nil {
			return nil, err
		}
		if len(past) > 0 && past[0].GetRevision() > last.GetRevision() {
			last, of = past[0], t
		}
	}
	if last == nil {
		return nil, e.nodes.missing(ctx, e.what, e.name, e.of)
	}
	return e.free(of, []*coordv1.PastHold{last}), nil
}

// free explains what nobody holds or waits for; last is who had it last, if that is known.
func (e *explaining) free(of topic, last []*coordv1.PastHold) *explanation {
	s := []string{"Nobody holds " + of.one + " " + wholly(e.name) + ", and nobody waits for it."}
	if !hadInTurn(of.kind) {
		s[0] = "There is no " + of.one + " " + wholly(e.name) + ", and nobody waits for it."
	}
	for _, p := range last {
		how, why := ended(of.kind, p.GetEndReason())
		if why != "" {
			why = " (" + why + ")"
		}
		s = append(s, whoIs(p.GetSessionId(), p.GetWho(), p.GetNote())+" had it last, for "+short(p.GetHeld().AsDuration())+
			", "+how+" at "+clockTime(p.GetEnded().AsTime())+why+".")
	}
	return &explanation{
		Object:    new(describedOf(&coordv1.Description{Kind: of.kind, Name: e.name}, last)),
		Sentences: append(s, "Nothing needs to be done: who asks for it has it at once."),
	}
}

func (e *explaining) session(ctx context.Context, id uint64) (*explanation, error) {
	list, err := e.sessions(ctx, e.what)
	if err != nil {
		return nil, err
	}
	for _, s := range list.GetSessions() {
		if s.GetSessionId() == id {
			return e.explainSession(s), nil
		}
	}
	return nil, &failure{what: e.what, why: "there is no such session: it has ended, with all that it held", next: "see coordctl session ls", code: exitNotFound}
}

// revoke is the command that takes a session back, with the flags that this one was given.
func (e *explaining) revoke(session uint64) string {
	s := "coordctl "
	if e.endpoints != "" {
		s += "--endpoints " + e.endpoints + " "
	}
	return s + e.netFlags() + "session revoke " + formatSessionID(session)
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

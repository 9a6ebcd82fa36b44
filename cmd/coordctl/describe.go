package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

// pastShown is how much of the history describe shows.
const pastShown = 10

func (a *app) describeCommand() *cobra.Command {
	var watch, stale bool
	cmd := &cobra.Command{
		Use:   "describe KIND NAME [-w] [--stale] [-o table|wide|json]",
		Short: "Show who holds an object, who waits for it, and who had it",
		Long: `Show who holds an object, who waits for it and in which order, and how the last holds of it
ended, as far as the leader remembers; of a channel who sends and who receives, and what
is buffered and not yet acknowledged; of a wait group what it counts; of a once who runs
it; of a map how many entries it has. At most 100 holders
and 100 waiters are shown. Columns in which there is nothing are left out.

--stale asks one node for its own state, which may be old, and says of which log index
that is; it works without a leader, and has no history.

With -w it is shown again whenever it changes hands, on a terminal in place, where it is
shown every five seconds besides; with json it is one line each time.

Exit codes: 0 ok, 3 if there is nothing of that name.`,
		Example: `  coordctl describe lock deploy
  coordctl describe semaphore build -w
  coordctl describe channel jobs
  coordctl describe election cron --stale -o json`,
		Annotations:           map[string]string{hasWide: ""},
		DisableFlagsInUseLine: true,
		Args:                  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := objectTopic(args[0])
			switch {
			case err != nil:
				return misuse(cmd, err.Error())
			case args[1] == "":
				return misuse(cmd, "NAME is empty")
			case watch && stale:
				return misuse(cmd, "either -w or --stale")
			}
			d := &describing{app: a, of: of, name: args[1], stale: stale, what: "describe " + of.one + " " + show(args[1])}
			return d.run(cmd.Context(), watch)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&watch, "watch", "w", false, "show it again whenever it changes")
	flags.BoolVar(&stale, "stale", false, "ask one node for its own state, which may be old")
	return cmd
}

// objectTopic is a kind of object.
func objectTopic(word string) (topic, error) {
	t, err := topicOf(word)
	if err == nil && !t.object() {
		err = fmt.Errorf("%s are not described; see coordctl get %s", t.many, t.many)
	}
	return t, err
}

// A describing is one run of describe.
type describing struct {
	*app
	of    topic
	name  string
	stale bool
	what  string
	nodes *nodes
}

func (d *describing) run(ctx context.Context, watch bool) (err error) {
	if d.nodes, err = d.app.nodes(); err != nil {
		return err
	}
	defer d.nodes.close()
	if watch {
		return d.interruptible(ctx, d.watch)
	}
	desc, err := d.look(ctx)
	switch {
	case notFound(err):
		return d.nodes.missing(ctx, d.what, d.name, []topic{d.of})
	case err != nil:
		return err
	}
	past, err := d.past(ctx)
	if err != nil {
		return err
	}
	return d.draw(desc, past)
}

// look asks for the object.
func (d *describing) look(ctx context.Context) (desc *coordv1.Description, err error) {
	err = d.nodes.ask(ctx, d.what, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		r, err := coordv1.NewInspectServiceClient(conn).DescribeObject(ctx,
			&coordv1.DescribeObjectRequest{Kind: d.of.kind, Name: d.name, Stale: d.stale})
		desc = r.GetDescription()
		return err
	})
	return desc, err
}

// past asks for the holds that ended last: of the leader, so not of a stale node.
func (d *describing) past(ctx context.Context) ([]*coordv1.PastHold, error) {
	if d.stale {
		return nil, nil
	}
	return d.nodes.history(ctx, d.what, d.of, d.name, pastShown)
}

func (n *nodes) history(ctx context.Context, what string, of topic, name string, most int32) (past []*coordv1.PastHold, err error) {
	err = n.ask(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		r, err := coordv1.NewInspectServiceClient(conn).GetHistory(ctx,
			&coordv1.GetHistoryRequest{Kind: of.kind, Name: name, Limit: most})
		past = r.GetHolds()
		return err
	})
	return past, err
}

func (d *describing) watch(ctx context.Context) error {
	return (&redrawing{app: d.app, look: d.view}).run(ctx, d.nodes, d.of, d.name, d.what)
}

// view is the object as it is now. One that is not there has nothing in it, since revision.
func (d *describing) view(ctx context.Context, revision uint64) (view, error) {
	desc, err := d.look(ctx)
	if notFound(err) {
		desc, err = &coordv1.Description{Kind: d.of.kind, Name: d.name, Revision: revision}, nil
	}
	if err != nil {
		return view{}, err
	}
	past, err := d.past(ctx)
	return view{desc.GetRevision(), describedOf(desc, past), d.tables(desc, past)}, err
}

// draw writes it all.
func (d *describing) draw(desc *coordv1.Description, past []*coordv1.PastHold) error {
	if d.output == asJSON {
		return d.render(describedOf(desc, past), nil)
	}
	return d.text(d.tables(desc, past))
}

func (d *describing) tables(desc *coordv1.Description, past []*coordv1.PastHold) string {
	var b bytes.Buffer
	d.describe(&b, desc)
	if !d.stale {
		d.describePast(&b, past)
	}
	return b.String()
}

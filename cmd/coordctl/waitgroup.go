package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"coordd.dev/client"
)

const groupRules = `What is added is its session's: if the process that added ends before it was done, or
its machine dies, the group is cut short, and whoever waits for it is told so. So what
adds has to last as long as what it counts: run adds, runs a command, and is done when
that has ended, however it ended; add stays until all is done. A name is for one round:
name the next one otherwise.`

func (a *app) waitGroupCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "waitgroup",
		Short: "Count work that is under way on many machines, and wait for its end",
		Long:  "Count work that is under way on many machines, and wait for its end, as sync.WaitGroup does.\n\n" + groupRules,
		Example: `  coordctl waitgroup run migration/7 -- ./migrate.sh
  coordctl waitgroup wait -w 10m migration/7
  coordctl waitgroup add build/42 3
  coordctl waitgroup done build/42`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(a.groupRunCommand(), a.groupAddCommand(), a.groupDoneCommand(), a.groupWaitCommand())
	return group
}

func (a *app) groupRunCommand() *cobra.Command {
	f := orderFlags{conflictCode: exitNotAcquired}
	cmd := &cobra.Command{
		Use:   "run [flags] NAME -- COMMAND [ARG...]",
		Short: "Run a command that a wait group counts",
		Long: `Add 1 to the wait group NAME, run a command, and be done when it has ended. If the lease
is lost the group is cut short, and the command is stopped.

` + groupRules + "\n\n" + runContract,
		Example:     `  coordctl waitgroup run migration/7 -- ./migrate.sh`,
		Annotations: map[string]string{runsCommand: ""},
	}
	a.registerRun(cmd, &f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := a.order(cmd, &f, args, claim{kind: kindWaitGroup})
		if err != nil {
			return err
		}
		o.verb = "waitgroup run"
		return a.runUnder(cmd.Context(), o)
	}
	return cmd
}

// A counted is the holding of waitgroup run: 1 that was added, in a session.
type counted struct {
	client  *client.Client
	group   *client.WaitGroup
	session client.Session
}

// join adds.
func (t *attempt) join(ctx context.Context, c *client.Client) (holding, error) {
	w := counted{client: c, group: c.WaitGroup(t.want.name), session: c.Session()}
	if err := w.group.AddContext(ctx, 1); err != nil {
		return nil, err
	}
	return w, nil // if the session was lost meanwhile, Err says that it is
}

func (w counted) Token() client.Token      { return 0 }
func (w counted) Context() context.Context { return w.session.Context() }
func (w counted) Lost() <-chan struct{}    { return w.session.Context().Done() }

// Err reads the clock, as that of a hold.
func (w counted) Err() error {
	if cause := context.Cause(w.session.Context()); cause != nil {
		return errors.Join(client.ErrLost, cause)
	}
	if now := w.client.Session(); now.ID != w.session.ID || !time.Now().Before(now.Deadline) {
		return client.ErrLost
	}
	return nil
}

// Unlock is Done, but of a lost session: the cluster has returned what that had added, and a
// Done in the next would settle somebody else's.
func (w counted) Unlock(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.session.Context(), cancel)()
	if err := w.Err(); err != nil {
		return err
	}
	return errors.Join(w.group.AddContext(ctx, -1), w.Err())
}

func (a *app) groupAddCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME [N]",
		Short: "Add to a wait group, and stay until all is done",
		Long: `Add N, or 1, to the wait group NAME, say how much it counts then, and stay until it counts
nothing. Whatever ends this earlier cuts the group short.

` + groupRules + `

Exit codes: 0 all is done, 1 it was cut short, 128+n if signal n came.`,
		Example:               `  coordctl waitgroup add build/42 3      # and three machines that say done`,
		DisableFlagsInUseLine: true,
		Args:                  upToTwo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := groupCount(cmd, args)
			if err != nil {
				return err
			}
			g := &grouping{app: a, name: args[0], what: "waitgroup add " + show(args[0])}
			return a.converse(cmd.Context(), g.what, func(ctx context.Context, c *client.Client) error {
				return g.add(ctx, c, n)
			})
		},
	}
}

func (a *app) groupDoneCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "done NAME [N]",
		Short: "Say that something is done that a wait group counts",
		Long: `Take N, or 1, off the wait group NAME: of what was added first by others. It is refused if
that much is not counted. What waitgroup run has added it takes off itself.

Exit codes: 0 ok, 5 refused.`,
		Example:               `  coordctl waitgroup done build/42`,
		DisableFlagsInUseLine: true,
		Args:                  upToTwo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := groupCount(cmd, args)
			if err != nil {
				return err
			}
			what := "waitgroup done " + show(args[0])
			return a.converse(cmd.Context(), what, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.answered(ctx)
				defer cancel()
				err := c.WaitGroup(args[0]).AddContext(ctx, -n)
				if errors.Is(err, client.ErrInvalid) && len(args[0]) <= 256 {
					return &failure{what: what, why: "it does not count " + strconv.Itoa(n), next: "see coordctl describe waitgroup " + show(args[0]), code: exitRefused}
				}
				return sessionError(what, err)
			})
		},
	}
}

func (a *app) groupWaitCommand() *cobra.Command {
	var f waitFlags
	cmd := &cobra.Command{
		Use:   "wait [-n|-w DUR] NAME",
		Short: "Wait until a wait group counts nothing",
		Long: `Wait until the wait group NAME counts nothing. One to which nothing was added yet counts
nothing, as in sync: add before you tell anyone to wait.

Exit codes: 0 all is done, 1 it was cut short: somebody ended before it was done;
4 with -n, if it counts something; 124 it still did after --wait.`,
		Example: `  coordctl waitgroup wait migration/7
  coordctl waitgroup wait -w 10m migration/7`,
		DisableFlagsInUseLine: true,
		Args:                  exactly(1),
	}
	f.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		g := &grouping{app: a, name: args[0], what: "waitgroup wait " + show(args[0])}
		return a.converse(cmd.Context(), g.what, func(ctx context.Context, c *client.Client) error {
			return g.wait(ctx, c, &f)
		})
	}
	return cmd
}

// groupCount is the N of NAME [N].
func groupCount(cmd *cobra.Command, args []string) (int, error) {
	if args[0] == "" {
		return 0, misuse(cmd, "NAME is empty")
	}
	if len(args) == 1 {
		return 1, nil
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 1 {
		return 0, misuse(cmd, show(args[1])+" is not a number, 1 at least")
	}
	return n, nil
}

// A grouping is one run of waitgroup add or wait.
type grouping struct {
	*app
	name string
	what string
}

func (g *grouping) add(ctx context.Context, c *client.Client, n int) error {
	asked, cancel := g.answered(ctx)
	defer cancel()
	if err := c.WaitGroup(g.name).AddContext(asked, n); err != nil {
		return sessionError(g.what, err)
	}
	d, err := c.Describe(asked, client.KindWaitGroup, g.name)
	if err != nil {
		return sessionError(g.what, err)
	}
	if err := g.text(fmt.Sprintf("%d\n", d.Held)); err != nil {
		return err
	}
	return g.wait(ctx, c, &waitFlags{})
}

func (g *grouping) wait(ctx context.Context, c *client.Client, f *waitFlags) error {
	_, err := f.choose(ctx, g.app, c.WaitGroup(g.name).OnDone(), func(ctx context.Context) string {
		d, err := c.Describe(ctx, client.KindWaitGroup, g.name)
		if err != nil {
			return ""
		}
		return fmt.Sprintf("it counts %d yet", d.Held)
	}, g.what)
	return err
}

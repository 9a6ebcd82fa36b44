package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coordd.dev/client"
)

const (
	defaultTTL = 10 * time.Second
	minTTL     = 500 * time.Millisecond
	maxTTL     = 24 * time.Hour
)

// An order is what a command line of lock, sem or elect asks for.
type order struct {
	verb  string // lock, sem or elect
	want  claim
	argv  []string
	try   bool
	wait  time.Duration // 0 is for ever
	code  int           // of not acquired
	ttl   time.Duration
	grace time.Duration // between TERM and KILL
	limit time.Duration // of the run; 0 is none

	follow bool // recv --ack: and on, until the channel is closed

	answer time.Duration // how long the cluster may take to answer; 0: each question has its own
}

// orderFlags are the flags of lock, sem and elect as they are parsed.
type orderFlags struct {
	nonblock, shared, exclusive  bool
	wait, ttl, killAfter, maxRun duration
	conflictCode                 int
	limit, count                 int64
}

const runContract = `The command's stdin, stdout and stderr are its own, there is no shell, and its
exit code is coordctl's. It finds COORD_LOCK_NAME, COORD_LOCK_KIND, COORD_SESSION_ID
and COORD_LINEAGE in its environment, and COORD_FENCING_TOKEN under an exclusive
lock. Signals are passed on. If the lock is lost the command gets TERM, then KILL,
so that it is gone before anyone else can have the lock: with all of its process
group; on a terminal, where the group is the terminal's, the command alone.

Exit codes: the command's own, 128+n if signal n ended it; 75 not acquired,
79 lock lost, 124 ran longer than --max-run, 125 coordctl failed, 126 the command
cannot be run, 127 there is no such command. DUR is like 90s or 1m30s; a bare number
is seconds.`

func (a *app) lockCommand() *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:   "lock [flags] NAME -- COMMAND [ARG...]",
		Short: "Run a command under a lock",
		Long:  "Run a command while holding the lock NAME, exclusively unless -s is given.\n\n" + runContract,
		Example: `  coordctl lock deploy -- ./deploy.sh
  coordctl lock -n nightly -- ./backup.sh            # or not at all: 75
  coordctl lock -w 30 -E 0 nightly -- ./backup.sh    # wait 30 s; it is no failure
  coordctl lock -s report -- ./read.sh               # with other readers
  coordctl lock demo -- sh -c 'echo $COORD_FENCING_TOKEN'`,
		Annotations: map[string]string{runsCommand: ""},
	}
	a.register(cmd, &f)
	registerTry(cmd, &f)
	flags := cmd.Flags()
	flags.BoolVarP(&f.shared, "shared", "s", false, "share the lock with others that do")
	flags.BoolVarP(&f.exclusive, "exclusive", "x", false, "have the lock alone (the default)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.shared && f.exclusive {
			return misuse(cmd, "either -s or -x")
		}
		o, err := a.order(cmd, &f, args, claim{kind: kindLock, shared: f.shared})
		if err != nil {
			return err
		}
		return a.runUnder(cmd.Context(), o)
	}
	return cmd
}

func (a *app) semCommand() *cobra.Command {
	var f orderFlags
	var resize int64
	cmd := &cobra.Command{
		Use:   "sem --limit N [flags] NAME -- COMMAND [ARG...]\n  coordctl sem --resize N NAME",
		Short: "Run a command with permits of a semaphore, or set its limit",
		Long: `Run a command while holding permits of the semaphore NAME. The limit is stored by
its first user and must be the same everywhere. Permits have no fencing token, for
others hold some too.

With --resize set the limit that is in force, and run nothing: a smaller one as permits come
back; what waits for more permits than that is refused. Commands go on giving the limit
that they always gave.

` + runContract,
		Example: `  coordctl sem --limit 4 build -- make
  coordctl sem --limit 10 --count 3 -n bandwidth -- rsync -a from/ to/
  coordctl sem --resize 2 build`,
		Annotations: map[string]string{runsCommand: ""},
	}
	a.register(cmd, &f)
	registerTry(cmd, &f)
	flags := cmd.Flags()
	flags.Int64Var(&f.limit, "limit", 0, "permits there are, the same everywhere; needed")
	flags.Int64Var(&f.count, "count", 1, "permits to hold")
	flags.Int64Var(&resize, "resize", 0, "run nothing: set the limit to `N`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if flags.Changed("resize") {
			return a.resizeCommand(cmd, args, resize)
		}
		switch {
		case f.limit < 1:
			return misuse(cmd, "--limit says how many permits there are, 1 at least")
		case f.count < 1:
			return misuse(cmd, "--count is 1 at least")
		case f.count > f.limit:
			return misuse(cmd, fmt.Sprintf("--count %d is above --limit %d and could never be had", f.count, f.limit))
		}
		o, err := a.order(cmd, &f, args, claim{kind: kindSemaphore, count: f.count, limit: f.limit})
		if err != nil {
			return err
		}
		return a.runUnder(cmd.Context(), o)
	}
	return cmd
}

// resizeCommand is sem --resize.
func (a *app) resizeCommand(cmd *cobra.Command, args []string, limit int64) error {
	for _, name := range []string{"limit", "count", "nonblock", "wait", "conflict-exit-code", "ttl", "kill-after", "max-run"} {
		if cmd.Flags().Changed(name) {
			return asksOnly(misuse(cmd, "--resize runs nothing: --"+name+" says nothing to it"))
		}
	}
	switch {
	case cmd.ArgsLenAtDash() >= 0:
		return asksOnly(misuse(cmd, "--resize runs nothing: no -- and no command"))
	case len(args) != 1 || args[0] == "":
		return asksOnly(misuse(cmd, "takes one NAME"))
	case limit < 1:
		return asksOnly(misuse(cmd, "--resize is 1 at least"))
	}
	what := "sem --resize " + show(args[0])
	return a.converse(cmd.Context(), what, func(ctx context.Context, c *client.Client) error {
		ctx, cancel := a.answered(ctx)
		defer cancel()
		return sessionError(what, c.Semaphore(args[0], 0).Resize(ctx, limit))
	})
}

// registerTry adds what an election does not have: who has not won can only wait.
func registerTry(cmd *cobra.Command, f *orderFlags) {
	cmd.Flags().BoolVarP(&f.nonblock, "nonblock", "n", false, "do not wait")
}

// register adds the flags that lock, sem and elect share. They are flock's where flock
// has such a flag.
func (a *app) register(cmd *cobra.Command, f *orderFlags) {
	flags := cmd.Flags()
	flags.VarP(&f.wait, "wait", "w", "wait no longer than `DUR`")
	flags.IntVarP(&f.conflictCode, "conflict-exit-code", "E", exitNotAcquired, "exit `CODE` if it was not acquired")
	a.registerRun(cmd, f)
}

// registerRun adds the flags of what runs a command.
func (a *app) registerRun(cmd *cobra.Command, f *orderFlags) {
	f.ttl = duration(defaultTTL)
	flags := cmd.Flags()
	flags.Var(&f.ttl, "ttl", "lease: how soon others may go on if this machine dies, 500ms to 24h")
	flags.Var(&f.killAfter, "kill-after", "how long the command may take from TERM to KILL, at most a third of --ttl (default a fifth)")
	flags.Var(&f.maxRun, "max-run", "stop the command after `DUR`")

	cmd.DisableFlagsInUseLine = true
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if !slices.Contains(a.args, "--") {
			return noDashes(cmd) // the flag is likely the command's
		}
		return misuse(cmd, err.Error())
	})
}

// noDashes is the one mistake that everybody makes once.
func noDashes(cmd *cobra.Command) *failure {
	f := misuse(cmd, "no -- between NAME and the command")
	f.next = "write " + cmd.CommandPath() + " NAME -- COMMAND"
	return f
}

// order checks what was parsed, all of it before anything is asked of the cluster.
func (a *app) order(cmd *cobra.Command, f *orderFlags, args []string, want claim) (*order, error) {
	name, argv, err := splitArgs(args, cmd.ArgsLenAtDash())
	switch {
	case cmd.ArgsLenAtDash() < 0 && len(args) > 0:
		return nil, noDashes(cmd)
	case err != nil:
		return nil, misuse(cmd, err.Error())
	}
	want.name = name
	o := &order{
		verb: cmd.Name(), want: want, argv: argv,
		try: f.nonblock, wait: time.Duration(f.wait), code: f.conflictCode,
		ttl: time.Duration(f.ttl), grace: time.Duration(f.killAfter), limit: time.Duration(f.maxRun),
	}
	if cmd.Flags().Changed("wait") {
		if f.nonblock {
			return nil, misuse(cmd, "either -n or -w")
		}
		o.try = o.wait == 0 // as in flock
	}
	if o.try && want.kind == kindElection {
		return nil, misuse(cmd, "--wait 0 leaves no time to be elected")
	}
	if cmd.Flags().Changed("timeout") {
		o.answer = time.Duration(a.timeout)
	}
	if !cmd.Flags().Changed("kill-after") {
		o.grace = o.ttl / 5
	}
	switch {
	case o.ttl < minTTL || o.ttl > maxTTL:
		return nil, misuse(cmd, fmt.Sprintf("--ttl %s is not 500ms to 24h", short(o.ttl)))
	case o.grace > o.ttl/3:
		return nil, misuse(cmd, fmt.Sprintf("--kill-after %s is more than a third of --ttl %s", short(o.grace), short(o.ttl)))
	case cmd.Flags().Changed("timeout") && o.answer == 0:
		return nil, misuse(cmd, "--timeout 0 leaves no time to answer")
	case cmd.Flags().Changed("max-run") && o.limit == 0:
		return nil, misuse(cmd, "--max-run 0 leaves no time to run")
	case o.code < 0 || o.code > 255:
		return nil, misuse(cmd, fmt.Sprintf("-E %d is not 0 to 255", o.code))
	}
	return o, nil
}

// splitArgs parts NAME -- COMMAND ARG...; dash is how many arguments stand before the
// dashes, negative without them.
func splitArgs(args []string, dash int) (name string, argv []string, err error) {
	switch {
	case dash < 0:
		return "", nil, errors.New("no NAME and no command")
	case dash == 0:
		return "", nil, errors.New("no NAME before --")
	case dash > 1:
		return "", nil, fmt.Errorf("more than one NAME before --: %s", showAll(args[:dash]))
	case dash == len(args):
		return "", nil, errors.New("no command after --")
	case args[0] == "":
		return "", nil, errors.New("NAME is empty")
	}
	return args[0], args[dash:], nil
}

func showAll(args []string) string {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = show(arg)
	}
	return strings.Join(shown, " ")
}

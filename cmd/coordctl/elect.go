package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) electCommand() *cobra.Command {
	var f orderFlags
	want := claim{kind: kindElection}
	var observe bool
	cmd := &cobra.Command{
		Use:   "elect [flags] NAME -- COMMAND [ARG...]\n  coordctl elect --observe NAME",
		Short: "Run a command while leading an election, or watch who leads",
		Long: `Wait until this is the leader of the election NAME, and run a command while it is.
Others see its value: an address, say. COORD_FENCING_TOKEN is the term; it rises from
leader to leader.

With --observe print who leads, and every change of it, one line each: leader or vacant,
term, value, who; with -o json an object each. What cannot have been seen is reported on
stderr, and so is a cluster that is out of reach for more than a second.

` + runContract,
		Example: `  coordctl elect primary -- ./serve.sh
  coordctl elect --value 10.0.0.7:80 --priority 1 primary -- ./serve.sh
  coordctl elect --observe primary
  coordctl elect --observe -o json primary | jq -r .value`,
		Annotations: map[string]string{runsCommand: ""},
	}
	a.register(cmd, &f)
	flags := cmd.Flags()
	flags.StringVar(&want.value, "value", "", "what others see of this leader, at most 4 KiB (default host and pid)")
	flags.IntVar(&want.priority, "priority", 0, "who has the higher one is elected first")
	flags.BoolVar(&observe, "observe", false, "run nothing: print who leads, until interrupted")
	onFlagError := cmd.FlagErrorFunc()
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if slices.Contains(a.args, "--observe") {
			return misuseOfObserve(cmd, err.Error())
		}
		return onFlagError(cmd, err)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if observe {
			return a.observeCommand(cmd, args)
		}
		if !flags.Changed("value") {
			want.value = self()
		}
		o, err := a.order(cmd, &f, args, want)
		if err != nil {
			return err
		}
		return a.runUnder(cmd.Context(), o)
	}
	return cmd
}

// self names this process to people.
func self() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s pid %d", host, os.Getpid())
}

// observeCommand checks the command line of elect --observe.
func (a *app) observeCommand(cmd *cobra.Command, args []string) error {
	for _, name := range []string{"value", "priority", "wait", "conflict-exit-code", "ttl", "kill-after", "max-run"} {
		if cmd.Flags().Changed(name) {
			return misuseOfObserve(cmd, "--observe runs nothing: --"+name+" says nothing to it")
		}
	}
	switch {
	case len(args) == 0 || args[0] == "":
		return misuseOfObserve(cmd, "no NAME")
	case cmd.ArgsLenAtDash() >= 0:
		return misuseOfObserve(cmd, "--observe runs nothing: no -- and no command")
	case len(args) > 1:
		return misuseOfObserve(cmd, "more than one NAME: "+showAll(args))
	}
	limit := dialLimit
	if cmd.Flags().Changed("timeout") {
		limit = time.Duration(a.timeout)
	}
	return a.observe(cmd.Context(), args[0], limit)
}

// misuseOfObserve is misuse of what runs no command, and has the codes of that.
func misuseOfObserve(cmd *cobra.Command, why string) *failure { return asksOnly(misuse(cmd, why)) }

// asksOnly gives the misuse of a command that can run another the code of one that does not.
func asksOnly(f *failure) *failure {
	f.code = exitUsage
	return f
}

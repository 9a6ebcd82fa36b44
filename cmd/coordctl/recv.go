package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"coordd.dev/client"
)

// recvFlags are the flags of recv: those of a run, and of one that prints.
type recvFlags struct {
	orderFlags
	ack, follow, raw bool
	capacity         int
	codec            string
	count            int
}

func (a *app) recvCommand() *cobra.Command {
	var f recvFlags
	cmd := &cobra.Command{
		Use:   "recv [flags] CHANNEL\n  coordctl recv --ack [flags] CHANNEL -- COMMAND [ARG...]",
		Short: "Receive from a channel, or run a command for each element",
		Long: `Receive an element and print it, with a newline unless --raw is given; or --count N of them;
or, with --follow, all until the channel is closed and drained. An element that was
received is gone, whatever becomes of it: that is at most once.

With --ack run a command for one element, or with --follow for one after another. It is on
the command's stdin and, unless it has a NUL, in COORD_ELEMENT; COORD_ATTEMPT says for
which time it was received, and COORD_FENCING_TOKEN rises from attempt to attempt. If the
command exits 0 the element is acknowledged and gone; else, and also if this machine
dies, it is given back and comes again, before all others: that is at least once. With
--follow a failure is told, and the next element taken after a moment; a signal ends it
with the command in hand. --ack takes a capacity of 1 or more.

Exit codes without --ack: 0 ok, with --follow also once it is closed; 1 it is closed and
drained; 4 with -n, if nothing is there; 5 refused; 124 nothing came within --wait.
With --ack, where 75 is also that it is closed and drained, and 0 with --follow:

` + runContract,
		Example: `  coordctl recv jobs
  coordctl recv -w 10 --count 5 jobs
  coordctl recv --follow -o json jobs
  coordctl recv --ack jobs -- sh -c './resize.sh "$COORD_ELEMENT"'
  coordctl recv --ack --follow --capacity 100 jobs -- ./worker.sh`,
		Annotations: map[string]string{},
	}
	a.register(cmd, &f.orderFlags)
	registerTry(cmd, &f.orderFlags)
	flags := cmd.Flags()
	flags.BoolVar(&f.ack, "ack", false, "run a command, and acknowledge the element if it succeeds")
	flags.BoolVar(&f.follow, "follow", false, "go on until the channel is closed and drained")
	flags.BoolVar(&f.raw, "raw", false, "print no newline after an element")
	flags.IntVar(&f.count, "count", 1, "how many to receive")
	flags.IntVar(&f.capacity, "capacity", client.AnyCapacity, "of the channel, 0 to 65536; -1 is any")
	flags.StringVar(&f.codec, "codec", "raw", codecUsage)
	onFlagError := cmd.FlagErrorFunc()
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if !slices.Contains(a.args, "--ack") {
			return misuse(cmd, err.Error())
		}
		cmd.Annotations[runsCommand] = ""
		return onFlagError(cmd, err)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.ack {
			cmd.Annotations[runsCommand] = ""
			return a.deliverCommand(cmd, &f, args)
		}
		return a.printCommand(cmd, &f, args)
	}
	return cmd
}

// deliverCommand is recv --ack.
func (a *app) deliverCommand(cmd *cobra.Command, f *recvFlags, args []string) error {
	for _, name := range []string{"raw", "count"} {
		if cmd.Flags().Changed(name) {
			return misuse(cmd, "--ack prints nothing: --"+name+" says nothing to it")
		}
	}
	if f.capacity == 0 {
		return misuse(cmd, "--ack takes a capacity of 1 or more")
	}
	o, err := a.order(cmd, &f.orderFlags, args, claim{kind: kindChannel, limit: int64(f.capacity), codec: rawAs(f.codec)})
	if err != nil {
		return err
	}
	o.follow = f.follow
	return a.runUnder(cmd.Context(), o)
}

// printCommand is recv without --ack.
func (a *app) printCommand(cmd *cobra.Command, f *recvFlags, args []string) error {
	for _, name := range []string{"conflict-exit-code", "ttl", "kill-after", "max-run"} {
		if cmd.Flags().Changed(name) {
			return misuse(cmd, "it runs nothing without --ack: --"+name+" says nothing to it")
		}
	}
	w := waitFlags{f.nonblock, f.wait}
	if err := w.check(cmd); err != nil {
		return err
	}
	switch {
	case cmd.ArgsLenAtDash() >= 0:
		return misuse(cmd, "it runs nothing without --ack: no -- and no command")
	case len(args) != 1 || args[0] == "":
		return misuse(cmd, "takes one CHANNEL")
	case f.count < 1:
		return misuse(cmd, "--count is 1 at least")
	case f.follow && cmd.Flags().Changed("count"):
		return misuse(cmd, "either --follow or --count")
	}
	r := &receiving{app: a, recvFlags: f, waitFlags: w, name: args[0], what: "recv " + show(args[0])}
	return a.converse(cmd.Context(), r.what, func(ctx context.Context, c *client.Client) error {
		return a.whileRead(ctx, func(ctx context.Context) error { return r.run(ctx, c) })
	})
}

// A receiving is one run of recv without --ack.
type receiving struct {
	*app
	*recvFlags
	waitFlags
	name string
	what string
}

func (r *receiving) run(ctx context.Context, c *client.Client) error {
	ch := client.NewChan[[]byte](c, r.name, r.capacity, client.WithCodec(rawAs(r.codec)))
	facts := func(ctx context.Context) string { return empty(ctx, c, r.name) }
	for got := 0; r.follow || got < r.count; got++ {
		element := ch.OnRecv()
		ok, err := r.choose(ctx, r.app, element, facts, r.what)
		if !ok || err != nil {
			return otherwise(err, "channel", r.name)
		}
		if !element.OK {
			if r.follow {
				return nil
			}
			why := "it is closed and drained"
			if got > 0 {
				why += fmt.Sprintf(" after %d of %d", got, r.count)
			}
			return &failure{what: r.what, why: why, code: exitFailed}
		}
		if err := r.print(element.Value); err != nil {
			return err
		}
	}
	return nil
}

func (r *receiving) print(element []byte) error {
	switch {
	case r.output == asJSON:
		return r.line(bytesViewOf(element))
	case r.raw:
		return r.text(string(element))
	}
	return r.text(string(element) + "\n")
}

// empty says what is in the way of a receiver.
func empty(ctx context.Context, c *client.Client, name string) string {
	d, err := c.Describe(ctx, client.KindChan, name)
	switch {
	case err != nil && !errors.Is(err, client.ErrNotFound):
		return ""
	case d != nil && d.Unacked > 0:
		return "nothing is there to be received, but " + plural(int(d.Unacked), "element") + " not yet acknowledged"
	}
	return "nothing is there to be received"
}

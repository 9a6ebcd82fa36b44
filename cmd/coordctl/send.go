package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"coordd.dev/client"
)

// maxElement is how large an element may be.
const maxElement = 64 << 10

// sendFlags are the flags of send.
type sendFlags struct {
	waitFlags
	lines              bool
	capacity, priority int
	codec              string
}

func (a *app) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send [flags] CHANNEL VALUE...\n  coordctl send [flags] CHANNEL --lines",
		Short: "Send to a channel",
		Long: `Send each VALUE to the channel, in order; with --lines, or - as the only VALUE, each line of
stdin. What is sent is in the channel's buffer or with a receiver, exactly once. A send
waits while the buffer is full, or, of a channel of capacity 0, until somebody receives.

The capacity is the channel's from its first use on and must then be the same everywhere;
without --capacity it is left to whoever else makes the channel, and waited for. An open
channel that is empty and that nobody waits for is forgotten, capacity and all. An element
is at most 64 KiB.

Exit codes: 0 ok, 4 with -n, if it would wait; 5 if the channel is closed or was made
otherwise; 124 not sent within --wait. How many were sent before is said on stderr.`,
		Example: `  coordctl send --capacity 100 jobs img-1.png img-2.png
  find . -name '*.png' | coordctl send --capacity 100 jobs --lines
  coordctl send -n --priority 1 jobs urgent.png`,
		DisableFlagsInUseLine: true,
		Args:                  atLeast(1),
	}
	flags := cmd.Flags()
	f.register(cmd)
	flags.BoolVar(&f.lines, "lines", false, "send each line of stdin")
	flags.IntVar(&f.capacity, "capacity", client.AnyCapacity, "of the channel, 0 to 65536; -1 is any")
	flags.IntVar(&f.priority, "priority", 0, "what has a higher one is received first")
	flags.StringVar(&f.codec, "codec", "raw", codecUsage)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		values := args[1:]
		f.lines = f.lines || len(values) == 1 && values[0] == "-"
		switch {
		case args[0] == "":
			return misuse(cmd, "CHANNEL is empty")
		case f.lines && len(values) > 0 && values[0] != "-":
			return misuse(cmd, "either VALUES or --lines")
		case !f.lines && len(values) == 0:
			return misuse(cmd, "no VALUE, nor --lines")
		}
		s := &sending{app: a, sendFlags: &f, name: args[0], what: "send " + show(args[0])}
		return a.converse(cmd.Context(), s.what, func(ctx context.Context, c *client.Client) error {
			if f.lines {
				return s.counting(s.sendLines(ctx, c))
			}
			return s.counting(s.sendAll(ctx, c, values))
		})
	}
	return cmd
}

// atLeast refuses fewer arguments.
func atLeast(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		return misuse(cmd, "takes "+plural(n, "argument")+" at least")
	}
}

// A sending is one run of send.
type sending struct {
	*app
	*sendFlags
	name string
	what string
	sent int
}

func (s *sending) sendAll(ctx context.Context, c *client.Client, values []string) error {
	for _, v := range values {
		if err := s.send(ctx, c, []byte(v)); err != nil {
			return err
		}
	}
	return nil
}

func (s *sending) sendLines(ctx context.Context, c *client.Client) error {
	in := bufio.NewScanner(s.stdin)
	in.Buffer(nil, maxElement+1)
	for in.Scan() {
		if err := s.send(ctx, c, in.Bytes()); err != nil {
			return err
		}
	}
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return &failure{what: s.what, why: "line " + strconv.Itoa(s.sent+1) + " has more than 64 KiB", code: exitRefused}
	case err != nil:
		return &failure{what: s.what, why: "read stdin: " + err.Error(), code: exitFailed}
	}
	return nil
}

func (s *sending) send(ctx context.Context, c *client.Client, v []byte) error {
	ch := client.NewChan[[]byte](c, s.name, s.capacity, client.WithCodec(rawAs(s.codec)), client.WithPriority(s.priority))
	ok, err := s.choose(ctx, s.app, ch.OnSend(v), func(ctx context.Context) string { return full(ctx, c, s.name) }, s.what)
	if ok && err == nil {
		s.sent++
	}
	return otherwise(err, "channel", s.name)
}

// counting adds to a failure what was sent before it.
func (s *sending) counting(err error) error {
	if f, ok := errors.AsType[*failure](err); ok && s.sent > 0 {
		f.why += fmt.Sprintf(" (%d sent before)", s.sent)
	}
	return err
}

// otherwise adds to a failure what to do about an object that was made otherwise.
func otherwise(err error, kind, name string) error {
	if f, ok := errors.AsType[*failure](err); ok && f.code == exitRefused && f.next == "" && f.made {
		f.next = madeOtherwise(kind, name)
	}
	return err
}

// full says what is in the way of a sender.
func full(ctx context.Context, c *client.Client, name string) string {
	d, err := c.Describe(ctx, client.KindChan, name)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return "there is no such channel yet; who makes it gives --capacity"
	case err != nil:
		return ""
	case d.Limit == 0:
		return "nobody receives"
	}
	s := fmt.Sprintf("it has %d of %s", d.Held, plural(int(d.Limit), "element"))
	if d.Unacked > 0 {
		s += fmt.Sprintf(", %d not yet acknowledged", d.Unacked)
	}
	return s
}

func (a *app) closeCommand() *cobra.Command {
	capacity, codec := client.AnyCapacity, "raw"
	cmd := &cobra.Command{
		Use:   "close [--capacity N] CHANNEL",
		Short: "Close a channel",
		Long: `Close a channel: who waits to send is refused, who receives drains it. It stays closed until
coordctl delete. An open channel without elements is forgotten; with --capacity it is made
then, so say it where the elements may have been received already.

Exit codes: 0 ok, 3 there is no such channel, 5 it is closed already, or was made
otherwise.`,
		Example: `  coordctl close jobs
  coordctl close --capacity 100 jobs`,
		DisableFlagsInUseLine: true,
		Args:                  exactly(1),
	}
	cmd.Flags().IntVar(&capacity, "capacity", capacity, "of the channel, 0 to 65536; -1 is any")
	cmd.Flags().StringVar(&codec, "codec", codec, codecUsage)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		what := "close " + show(args[0])
		return a.converse(cmd.Context(), what, func(ctx context.Context, c *client.Client) error {
			ctx, cancel := a.answered(ctx)
			defer cancel()
			err := client.NewChan[[]byte](c, args[0], capacity, client.WithCodec(rawAs(codec))).CloseContext(ctx)
			return notMade(otherwise(sessionError(what, err), "channel", args[0]))
		})
	}
	return cmd
}

// notMade adds to a failure to close what to do where there is no channel.
func notMade(err error) error {
	if f, ok := errors.AsType[*failure](err); ok && f.code == exitNotFound {
		f.why = "there is no such channel: an open one is forgotten once it is empty"
		f.next = "--capacity N makes it, and closes it"
	}
	return err
}

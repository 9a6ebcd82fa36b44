package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"coordd.dev/client"
)

func (a *app) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete KIND NAME",
		Short: "Delete what is stored of an object",
		Long: `Delete what stays of an object when nobody uses it: a channel with what is in it, a map with
its entries, the result of a once, a wait group that was cut short, the limit of a
semaphore. What is held or waited for is not deleted.

Exit codes: 0 ok, 3 there is nothing stored of that name, 4 it is held or waited for.`,
		Example: `  coordctl delete channel jobs
  coordctl delete map config
  coordctl delete semaphore build`,
		DisableFlagsInUseLine: true,
		Args:                  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := objectTopic(args[0])
			switch {
			case err != nil:
				return misuse(cmd, strings.Replace(err.Error(), "described", "deleted", 1))
			case args[1] == "":
				return misuse(cmd, "NAME is empty")
			}
			what := "delete " + t.one + " " + show(args[1])
			return a.converse(cmd.Context(), what, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.answered(ctx)
				defer cancel()
				return sessionError(what, c.Delete(ctx, client.Kind(t.kind), args[1]))
			})
		},
	}
}

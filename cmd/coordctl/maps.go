package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"coordd.dev/client"
)

func (a *app) mapCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "map",
		Short: "Read, change and follow a map",
		Long: `Read, change and follow a map: a small set of keys and values that all see alike. A value is
at most 64 KiB, a map at most 4,096 entries and 512 KiB. It stays until coordctl delete.`,
		Example: `  coordctl map put config mode fast
  coordctl map get config mode
  coordctl map put --if slow config mode fast
  coordctl map list config
  coordctl map watch config`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	m := &mapping{app: a}
	group.PersistentFlags().StringVar(&m.codec, "codec", "raw", codecUsage)
	group.AddCommand(m.getCommand(), m.putCommand(), m.deleteCommand(), m.listCommand(), m.watchCommand())
	return group
}

// A mapping is one run of a command of map.
type mapping struct {
	*app
	codec string
	name  string
	what  string
	of    *client.Map[string, []byte]
}

// do opens a session and calls f, which changes or reads the map.
func (m *mapping) do(cmd *cobra.Command, args []string, f func(ctx context.Context) error) error {
	for _, arg := range args[:min(len(args), 2)] {
		if arg == "" {
			return misuse(cmd, "MAP or KEY is empty")
		}
	}
	m.name, m.what = args[0], "map "+cmd.Name()+" "+show(args[0])
	if len(args) > 1 {
		m.what += " " + show(args[1])
	}
	return m.converse(cmd.Context(), m.what, func(ctx context.Context, c *client.Client) error {
		m.of = client.NewMap[string, []byte](c, m.name, client.WithCodec(rawAs(m.codec)))
		return otherwise(f(ctx), "map", m.name)
	})
}

// fails is a refusal that is no error of the cluster's.
func (m *mapping) fails(code int, why string) error {
	return &failure{what: m.what, why: why, code: code}
}

func (m *mapping) getCommand() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "get MAP KEY",
		Short: "Print the value of a key",
		Long: `Print the value of a key, with a newline unless --raw is given.

Exit codes: 0 ok, 3 there is no such key.`,
		Example:               `  coordctl map get config mode`,
		DisableFlagsInUseLine: true,
		Args:                  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.do(cmd, args, func(ctx context.Context) error {
				ctx, cancel := m.answered(ctx)
				defer cancel()
				value, ok, err := m.of.LoadContext(ctx, args[1])
				switch {
				case err != nil:
					return sessionError(m.what, err)
				case !ok:
					return m.fails(exitNotFound, "there is no such key")
				case m.output == asJSON:
					return m.line(bytesViewOf(value))
				case raw:
					return m.text(string(value))
				}
				return m.text(string(value) + "\n")
			})
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print no newline after it")
	return cmd
}

func (m *mapping) putCommand() *cobra.Command {
	var absent bool
	var old string
	cmd := &cobra.Command{
		Use:   "put [--if-absent|--if OLD] MAP KEY VALUE",
		Short: "Set the value of a key",
		Long: `Set the value of a key; a VALUE of - is all of stdin. With --if-absent only if there is none,
with --if only if it is OLD.

Exit codes: 0 ok, 1 it was there, or was not OLD; 5 refused.`,
		Example: `  coordctl map put config mode fast
  coordctl map put --if-absent claims job-7 "$(hostname)"
  coordctl map put --if slow config mode fast`,
		DisableFlagsInUseLine: true,
		Args:                  exactly(3),
	}
	cmd.Flags().BoolVar(&absent, "if-absent", false, "only if there is no such key")
	cmd.Flags().StringVar(&old, "if", "", "only if its value is `OLD`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		compare := cmd.Flags().Changed("if")
		if absent && compare {
			return misuse(cmd, "either --if-absent or --if")
		}
		value := []byte(args[2])
		if args[2] == "-" {
			var err error
			if value, err = io.ReadAll(io.LimitReader(m.stdin, maxElement+1)); err != nil {
				return &failure{what: "map put", why: "read stdin: " + err.Error(), code: exitFailed}
			}
		}
		return m.do(cmd, args, func(ctx context.Context) error {
			ctx, cancel := m.answered(ctx)
			defer cancel()
			switch {
			case absent:
				_, there, err := m.of.LoadOrStoreContext(ctx, args[1], value)
				if err == nil && there {
					return m.fails(exitFailed, "there is such a key already")
				}
				return sessionError(m.what, err)
			case compare:
				swapped, err := m.of.CompareAndSwapContext(ctx, args[1], []byte(old), value)
				if err == nil && !swapped {
					return m.fails(exitFailed, "its value is not "+show(old))
				}
				return sessionError(m.what, err)
			}
			return sessionError(m.what, m.of.StoreContext(ctx, args[1], value))
		})
	}
	return cmd
}

func (m *mapping) deleteCommand() *cobra.Command {
	var old string
	cmd := &cobra.Command{
		Use:   "delete [--if OLD] MAP KEY",
		Short: "Delete a key",
		Long: `Delete a key, with --if only if its value is OLD. The map itself: coordctl delete map MAP.

Exit codes: 0 ok, 1 with --if, it was not OLD; 3 there is no such key.`,
		Example:               `  coordctl map delete config mode`,
		DisableFlagsInUseLine: true,
		Args:                  exactly(2),
	}
	cmd.Flags().StringVar(&old, "if", "", "only if its value is `OLD`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return m.do(cmd, args, func(ctx context.Context) error {
			ctx, cancel := m.answered(ctx)
			defer cancel()
			if cmd.Flags().Changed("if") {
				deleted, err := m.of.CompareAndDeleteContext(ctx, args[1], []byte(old))
				if err == nil && !deleted {
					return m.fails(exitFailed, "its value is not "+show(old))
				}
				return sessionError(m.what, err)
			}
			_, there, err := m.of.LoadAndDeleteContext(ctx, args[1])
			if err == nil && !there {
				return m.fails(exitNotFound, "there is no such key")
			}
			return sessionError(m.what, err)
		})
	}
	return cmd
}

type entryView struct {
	Key string `json:"key"`
	bytesView
	Revision string `json:"revision"`
}

func entryViewOf(e client.Entry[string, []byte]) entryView {
	return entryView{e.Key, bytesViewOf(e.Value), strconv.FormatUint(uint64(e.Revision), 10)}
}

func (m *mapping) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list MAP",
		Short: "Print all keys and values",
		Long: `Print all keys and values of a map at one instant, in the order of the keys.

Exit codes: 0 ok, also if there are none.`,
		Example:               `  coordctl map list config -o json`,
		DisableFlagsInUseLine: true,
		Args:                  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.do(cmd, args, func(ctx context.Context) error {
				ctx, cancel := m.answered(ctx)
				defer cancel()
				entries := []entryView{}
				for e, err := range m.of.All(ctx) {
					if err != nil {
						return sessionError(m.what, err)
					}
					entries = append(entries, entryViewOf(e))
				}
				return m.render(struct {
					Entries []entryView `json:"entries"`
				}{entries}, func(t *table) {
					t.row("KEY", "VALUE")
					for _, e := range entries {
						t.row(m.cut(e.Key), m.clip(e.shown()))
					}
				})
			})
		},
	}
}

// shown is a value for people.
func (b bytesView) shown() string {
	if b.Text != nil {
		return *b.Text
	}
	return "base64 " + b.Base64
}

func (m *mapping) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch MAP",
		Short: "Print all keys and values, and then every change",
		Long: `Print all keys and values, then synced, and then every change, one line each: stored or
deleted, revision, key, value; of what is deleted the value that it had. With -o json an
object each. It goes on over a change of leader; if changes were missed that is said,
and all is printed again. It ends when it is interrupted.`,
		Example: `  coordctl map watch config
  coordctl map watch config -o json | jq -r .key`,
		DisableFlagsInUseLine: true,
		Args:                  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.do(cmd, args, func(ctx context.Context) error { return m.whileRead(ctx, m.watch) })
		},
	}
}

func (m *mapping) watch(ctx context.Context) error {
	for {
		for e, err := range m.of.Watch(ctx, 0) {
			switch {
			case errors.Is(err, client.ErrSkipped):
				fmt.Fprintf(m.stderr, "coordctl: %s: some changes were missed; this is what there is now\n", m.what)
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				return sessionError(m.what, err)
			default:
				if err := m.happened(e); err != nil {
					return err
				}
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// happened prints an event.
func (m *mapping) happened(e client.Event[string, []byte]) error {
	what := map[client.EventType]string{
		client.EventStored: "stored", client.EventDeleted: "deleted", client.EventSynced: "synced",
	}[e.Type]
	v := entryViewOf(e.Entry)
	switch {
	case m.output == asJSON && e.Type == client.EventSynced:
		return m.line(struct {
			Type     string `json:"type"`
			Revision string `json:"revision"`
		}{what, v.Revision})
	case m.output == asJSON:
		return m.line(struct {
			Type string `json:"type"`
			entryView
		}{what, v})
	case e.Type == client.EventSynced:
		return m.text(what + " " + v.Revision + "\n")
	}
	return m.text(what + " " + v.Revision + " " + wholly(v.Key) + " " + wholly(v.shown()) + "\n")
}

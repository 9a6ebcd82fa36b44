package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

func (a *app) sessionCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "session",
		Short: "List sessions, or take one back",
		Example: `  coordctl session ls
  coordctl session revoke 000000000000002a`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	ls := &cobra.Command{
		Use:         "ls",
		Short:       "List the live sessions",
		Example:     `  coordctl session ls -o json`,
		Annotations: map[string]string{hasWide: ""},
		Args:        exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.listSessions(cmd.Context(), "session ls", patternOf(nil))
		},
	}
	var now bool
	revoke := &cobra.Command{
		Use:   "revoke [--now] ID",
		Short: "Take a session back, with all it holds",
		Long: `Take a session back: its holders are told, its renewals are refused, and it ends with
its lease at the latest. With --now it ends at once; then its holder may still be
running, and only the fencing token protects what it writes to.`,
		Example: `  coordctl session revoke 000000000000002a
  coordctl session revoke --now 000000000000002a`,
		Args:                  exactly(1),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseSessionID(args[0])
			if err != nil {
				fail := misuse(cmd, show(args[0])+": "+err.Error())
				fail.next = "see coordctl session ls"
				return fail
			}
			return a.revokeSession(cmd.Context(), id, now)
		},
	}
	revoke.Flags().BoolVar(&now, "now", false, "end it at once")
	group.AddCommand(ls, revoke)
	return group
}

// parseSessionID reads what formatSessionID wrote. It takes nothing shorter, so that
// no decimal number is taken for an id.
func parseSessionID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 || id == 0 {
		return 0, errors.New("not a session id, which is 16 hexadecimal digits")
	}
	return id, nil
}

func formatSessionID(id uint64) string { return fmt.Sprintf("%016x", id) }

type sessionView struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	TTL       string            `json:"ttl"`
	Remaining string            `json:"remaining"`
	Holds     int64             `json:"holds"`
	Waits     int64             `json:"waits"`
	Revoked   bool              `json:"revoked"`
}

// listSessions lists those whose id or name is asked for.
func (a *app) listSessions(ctx context.Context, what string, names pattern) error {
	list, err := a.sessions(ctx, what)
	if err != nil {
		return err
	}
	views := make([]sessionView, 0, len(list.GetSessions()))
	for _, s := range list.GetSessions() {
		if v := sessionViewOf(s); names.matches(v.ID) || names.matches(v.Name) {
			views = append(views, v)
		}
	}
	if len(views) == 0 && !names.prefix {
		return &failure{what: what, why: "there is no such session", next: "see coordctl session ls", code: exitNotFound}
	}
	return a.render(struct {
		Index    string        `json:"index"`
		Sessions []sessionView `json:"sessions"`
	}{strconv.FormatUint(list.GetIndex(), 10), views}, func(t *table) { sessionRows(t, views, a.output == asWide) })
}

// sessions are all that live.
func (a *app) sessions(ctx context.Context, what string) (list *coordv1.ListSessionsResponse, err error) {
	err = a.anyNode(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
		list, err = coordv1.NewSessionServiceClient(conn).ListSessions(ctx, &coordv1.ListSessionsRequest{})
		return err
	})
	return list, err
}

func sessionViewOf(s *coordv1.Session) sessionView {
	return sessionView{
		ID:        formatSessionID(s.GetSessionId()),
		Name:      s.GetWho().GetName(),
		Metadata:  s.GetWho().GetMetadata(),
		TTL:       s.GetTtl().AsDuration().String(),
		Remaining: millis(s.GetRemaining().AsDuration()),
		Holds:     s.GetHolds(),
		Waits:     s.GetWaits(),
		Revoked:   s.GetRevoked(),
	}
}

func sessionRows(t *table, views []sessionView, wide bool) {
	head := []string{"ID", "NAME", "HOST", "PID", "TTL", "REMAINING", "HOLDS", "WAITS", "STATE"}
	if wide {
		head = append(head, "METADATA")
	}
	t.row(head...)
	for _, v := range views {
		state := "live"
		if v.Revoked {
			state = "revoked"
		}
		cells := []string{
			v.ID, dash(v.Name), dash(v.Metadata["host"]), dash(v.Metadata["pid"]), v.TTL, v.Remaining,
			strconv.FormatInt(v.Holds, 10), strconv.FormatInt(v.Waits, 10), state,
		}
		if wide {
			cells = append(cells, pairs(v.Metadata))
		}
		t.row(cells...)
	}
}

// pairs is metadata in a cell, less what has cells of its own.
func pairs(metadata map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if key != "host" && key != "pid" {
			all = append(all, wholly(key)+"="+wholly(metadata[key]))
		}
	}
	return cmp.Or(strings.Join(all, " "), "-")
}

// dash shows what may be missing.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return show(s)
}

func (a *app) revokeSession(ctx context.Context, id uint64, now bool) error {
	what := "session revoke " + formatSessionID(id)
	err := a.anyNode(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := coordv1.NewSessionServiceClient(conn).RevokeSession(ctx,
			&coordv1.RevokeSessionRequest{SessionId: id, Now: now})
		return err
	})
	if err != nil {
		return changing(err)
	}
	if now {
		fmt.Fprintf(a.stderr, "coordctl: session %s ended; its holder may still run, and only the fencing token stops what it writes\n", formatSessionID(id))
		return nil
	}
	fmt.Fprintf(a.stderr, "coordctl: session %s revoked; its holder is told, and it ends with its lease at the latest\n", formatSessionID(id))
	return nil
}

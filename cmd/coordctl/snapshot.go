package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coordd.dev/internal/backup"
)

func (a *app) snapshotCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "snapshot",
		Short: "Back a cluster up, look at a backup, restore one into a new cluster",
		Example: `  coordctl snapshot save coordd.backup
  coordctl snapshot inspect coordd.backup
  coordctl snapshot restore coordd.backup`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(a.snapshotSave(), a.snapshotRestore(), a.snapshotInspect())
	return group
}

func (a *app) snapshotSave() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "save [--force] FILE",
		Short: "Write a backup of all that the cluster has",
		Long: `Write a backup of all that the cluster has to FILE, or to stdout if that is -. Everything
that was acknowledged before is in it. It is written to FILE.partial first, and gets its name once
it is on disk and was verified. A cluster may be saved at any time: nobody has to wait for it.

--timeout is how long the cluster may be silent.

Exit codes: 0 saved, 1 not written or damaged on the way, 2 usage, 5 refused, 6 unavailable, 124 timeout.`,
		Example: `  coordctl snapshot save coordd.backup
  coordctl snapshot save --force coordd.backup
  coordctl snapshot save - | gzip > coordd.backup.gz`,
		Args:                  exactly(1),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == stdio {
				return a.saveToStdout(cmd.Context())
			}
			return a.saveToFile(cmd.Context(), args[0], force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return cmd
}

func (a *app) snapshotRestore() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Have a new cluster go on from a backup",
		Long: `Have a new and empty cluster go on from the backup in FILE, which is verified first, all of
it. Either all of it is restored or nothing.

Objects and what is stored in them are there again. All sessions of the backup have ended, as if their
leases had run out: what they held is free. Fencing tokens go on above all that were ever given. No
session opens until the longest lease of the backup must have run out, so that nobody who had a lock
still believes in it; clients wait for that by themselves.

A cluster in which a session opened is not new any more. Start its nodes with coordd --await-restore,
and they open none before this.

--timeout is how long the cluster may be silent; it has a minute, at least, to take up what was sent.

Exit codes: 0 restored, 1 the file is damaged or the outcome unknown, 2 usage, 5 refused: the cluster is
not empty, or its clock is behind the backup's, 6 unavailable, 124 timeout.`,
		Example:               `  coordctl snapshot restore coordd.backup`,
		Args:                  exactly(1),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == stdio {
				return misuse(cmd, "a backup is read twice; give it as a file")
			}
			return a.restoreFile(cmd.Context(), args[0])
		},
	}
}

func (a *app) snapshotInspect() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE",
		Short: "Say what a backup is of, and verify it",
		Long: `Say what the backup in FILE is of, or in stdin if that is -, once all of it was verified.

Exit codes: 0 it is whole, 1 it is damaged or cannot be read, 2 usage.`,
		Example: `  coordctl snapshot inspect coordd.backup
  coordctl snapshot inspect -o json coordd.backup`,
		Args:                  exactly(1),
		DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			from := a.stdin
			if args[0] != stdio {
				file, err := os.Open(args[0])
				if err != nil {
					return unreadable("inspect", args[0], err)
				}
				defer file.Close()
				from = file
			}
			return a.inspectBackup(args[0], from)
		},
	}
}

// stdio stands for stdin or stdout in the place of a file.
const stdio = "-"

func (a *app) inspectBackup(name string, from io.Reader) error {
	h, size, err := backup.Inspect(from)
	if err != nil {
		return unreadable("inspect", name, err)
	}
	v := backupViewOf(name, h, size)
	return a.render(v, func(t *table) {
		t.row("CLUSTER", v.Cluster)
		t.row("TAKEN", v.Taken)
		t.row("LOG INDEX", v.Index+" of term "+v.Term)
		t.row("CLUSTER CLOCK", v.Clock)
		t.row("SESSIONS", strconv.FormatInt(v.Sessions, 10))
		t.row("SESSIONS OPEN", "in "+v.Wait+", if it is restored")
		t.row("GREATEST TOKEN", v.Token)
		t.row("STATE HASH", v.Hash)
		t.row("COORDD", show(v.Version))
		t.row("SIZE", sized(v.Bytes))
	})
}

// A backupView is a verified backup. Numbers that a tool may round are strings.
type backupView struct {
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	Cluster  string `json:"cluster_id"`
	Taken    string `json:"taken"`
	Index    string `json:"log_index"`
	Term     string `json:"term"`
	Clock    string `json:"cluster_clock"`
	Sessions int64  `json:"sessions"`
	Wait     string `json:"sessions_open_in"`
	Token    string `json:"greatest_token"`
	Hash     string `json:"state_hash"`
	Version  string `json:"coordd_version"`
}

func backupViewOf(name string, h backup.Header, size int64) backupView {
	return backupView{
		File:     name,
		Bytes:    size,
		Cluster:  clean(h.Cluster),
		Taken:    time.UnixMilli(h.Taken).UTC().Format(time.RFC3339),
		Index:    strconv.FormatUint(h.Index, 10),
		Term:     strconv.FormatUint(h.Term, 10),
		Clock:    time.Duration(h.Clock).String(),
		Sessions: h.Sessions,
		Wait:     time.Duration(h.Longest).String(),
		Token:    strconv.FormatUint(h.Token, 10),
		Hash:     clean(h.StateHash),
		Version:  h.Version,
	}
}

func (v backupView) String() string {
	return fmt.Sprintf("%s of cluster %s at log index %s, taken %s, with %s", sized(v.Bytes), v.Cluster, v.Index, v.Taken,
		plural(int(v.Sessions), "session"))
}

// unreadable is the failure to read a backup.
func unreadable(verb, name string, err error) error {
	f := &failure{what: "snapshot " + verb + " " + show(name), why: clean(err.Error()), code: exitFailed}
	if errors.Is(err, backup.ErrDamaged) {
		f.next = "use another backup"
	}
	return f
}

// backupError is callError; nodes name the call, and here the file is named.
func backupError(what, targets string, err error) *failure {
	f := callError(what, targets, err)
	f.why = strings.TrimPrefix(strings.TrimPrefix(f.why, "save snapshot: "), "restore snapshot: ")
	return f
}

// unwritable is the failure to write one.
func unwritable(name string, err error) error {
	return &failure{what: "snapshot save " + show(name), why: clean(err.Error()), code: exitFailed}
}

// sized is a size for people.
func sized(n int64) string {
	switch {
	case n < 10_000:
		return strconv.FormatInt(n, 10) + " bytes"
	case n < 10_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
}

// A patience cancels what it is of if that is waited for too long.
type patience struct {
	timer *time.Timer
	limit time.Duration
}

var errStalled = errors.New("no answer in time")

// newPatience begins with a wait.
func newPatience(limit time.Duration, cancel context.CancelCauseFunc) *patience {
	return &patience{time.AfterFunc(limit, func() { cancel(errStalled) }), limit}
}

func (p *patience) begin() { p.timer.Reset(p.limit) }
func (p *patience) end()   { p.timer.Stop() }

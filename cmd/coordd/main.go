package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker; see the Makefile.
var version = "devel"

const (
	exitFailed = 1
	exitUsage  = 2
	exitSignal = 128 // and the signal's number

	asOne = 200 * time.Millisecond // between two signals of one cause
)

// gcPercent lets more garbage come together before it is collected than Go does: where
// processors are few, whoever allocates in a collection of a million locks or the streams
// of 100,000 sessions waits for it, and may wait for seconds. It costs as much memory
// again as they have. GOGC sets it otherwise, GOMEMLIMIT bounds it.
const gcPercent = 200

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	os.Exit(execute(signals, os.Args, os.Environ(), os.Stdout, os.Stderr))
}

// execute runs a command line and returns the exit code. The first signal ends the
// context and with it, in order, what runs; the second does not wait for it. Signals
// that come as one are one: timeout(1) for instance sends two, to the process and to
// its group.
func execute(signals <-chan os.Signal, args, environ []string, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	root := rootCommand(args[0], environ)
	root.SetArgs(args[1:])
	root.SetOut(stdout)
	root.SetErr(stderr)
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	var first time.Time
	for {
		select {
		case err := <-ended:
			return report(err, stderr)
		case s := <-signals:
			if first.IsZero() {
				first = time.Now()
				cancel()
			}
			if n, ok := s.(syscall.Signal); ok && time.Since(first) > asOne {
				return exitSignal + int(n)
			}
		}
	}
}

func report(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "coordd:", err) // there is nowhere else to say a failure
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// A usageError is a command line that means nothing.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() + "; try coordd --help" }
func (e *usageError) Unwrap() error { return e.err }

// rootCommand is serve by another name, with the other commands below it.
func rootCommand(program string, environ []string) *cobra.Command {
	root := serveCommand(environ)
	root.Use = "coordd"
	root.Short = "Locks and semaphores for many processes, replicated"
	root.Long = root.Short + `.

Without a command coordd serves, like "coordd serve"; without flags it is a single
node with its data in ./coordd-data. For three nodes to try things on: coordd dev.

` + settingsHelp
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(serveCommand(environ), devCommand(program), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  coordd version",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "coordd %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return &usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return &usageError{fmt.Errorf("%s takes no arguments, not %q", cmd.Name(), args[0])}
}

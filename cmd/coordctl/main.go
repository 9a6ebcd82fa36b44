package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker; see the Makefile.
var version = "devel"

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// run is coordctl, less the process around it. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	a := &app{args: args, stdin: stdin, stdout: stdout, stderr: stderr, environ: environ}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)

	err := root.ExecuteContext(ctx)
	var exit exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	f := asFailure(err)
	f.print(stderr, a.wantsJSON())
	return f.code
}

// An app is one invocation: its streams, its environment and the flags that every
// command has.
type app struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string

	endpoints string
	output    string
	timeout   duration
	insecure  bool
	secured   transport
	tokenFile string
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "coordctl",
		Short: "Run commands under locks that many machines share",
		Long: `coordctl runs commands under locks, semaphores and elections of a coordd cluster, and uses
its channels, wait groups and maps.

Exit codes of lock, sem, elect, recv --ack and waitgroup run are the command's own, and: 75
not acquired, 79 lock lost, 124 time limit, 125 coordctl failed, 126 cannot run, 127
not found. Those of the other commands: 0 ok, 1 failed, 2 usage, 3 not found, 4 held, 5 refused,
6 unavailable, 124 timeout.`,
		Example: `  coordctl lock deploy -- ./deploy.sh
  coordctl lock -w 1s deploy -- ./deploy.sh
  coordctl sem --limit 4 build -- make
  coordctl elect primary -- ./serve.sh
  coordctl elect --observe primary
  coordctl send --capacity 100 jobs one two
  coordctl recv --ack jobs -- ./work.sh
  coordctl explain deploy
  coordctl status`,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	a.timeout = duration(5 * time.Second)
	flags := root.PersistentFlags()
	flags.StringVar(&a.endpoints, "endpoints", "", "`host:port,...` of coordd (default $COORD_ENDPOINTS, else "+defaultEndpoint+")")
	flags.StringVarP(&a.output, "output", "o", asTable, "`table|json`, of get, describe and explain also wide; with json, errors on stderr are JSON too")
	flags.Var(&a.timeout, "timeout", "how long the cluster may take to answer; what runs a command gives it 10s")
	a.secured.flags(flags)
	flags.BoolVar(&a.insecure, "insecure-allow-remote", false, "allow plain text beyond loopback")
	flags.StringVar(&a.tokenFile, "token-file", "", "`file` with the token that says who this is (default $COORD_TOKEN_FILE)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		_, wide := cmd.Annotations[hasWide]
		_, drawn := cmd.Annotations[hasDot]
		switch {
		case a.output == asTable, a.output == asJSON, wide && a.output == asWide, drawn && a.output == asDot:
			return a.secure(cmd)
		case wide:
			return misuse(cmd, "-o "+show(a.output)+": neither table, wide nor json")
		}
		return misuse(cmd, "-o "+show(a.output)+": neither table nor json")
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(cmd, err.Error()) })
	root.AddCommand(a.lockCommand(), a.semCommand(), a.electCommand(),
		a.sendCommand(), a.recvCommand(), a.closeCommand(), a.waitGroupCommand(), a.mapCommand(), a.deleteCommand(),
		a.getCommand(), a.describeCommand(), a.explainCommand(), a.statusCommand(), a.sessionCommand(),
		a.memberCommand(), a.snapshotCommand(), a.certCommand(), a.tokenCommand(), a.versionCommand())
	return root
}

// hasWide marks the commands that have -o wide.
const hasWide = "has wide"

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: `  coordctl version`,
		Args:    exactly(0),

		Annotations: map[string]string{offline: ""},
		RunE: func(*cobra.Command, []string) error {
			v := versionView{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			return a.render(v, func(t *table) {
				t.row("coordctl "+v.Version, v.Go, v.Platform)
			})
		},
	}
}

type versionView struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// noCommand refuses what would be a command of a group, if there were one of that name.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return misuse(cmd, "no command "+show(args[0]))
}

// exactly refuses any number of arguments but n.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return misuse(cmd, "takes "+plural(n, "argument")+", not "+plural(len(args), "argument"))
	}
}

// getenv returns the last value of key, as a child would see it.
func (a *app) getenv(key string) string {
	for i := len(a.environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(a.environ[i], key+"="); ok {
			return v
		}
	}
	return ""
}

// wantsJSON is for errors, which may come before the flags were all parsed.
func (a *app) wantsJSON() bool {
	if a.output == asJSON {
		return true
	}
	for i, arg := range a.args {
		switch {
		case arg == "--":
			return false
		case arg == "-ojson", arg == "-o=json", arg == "--output=json":
			return true
		case (arg == "-o" || arg == "--output") && i+1 < len(a.args):
			return a.args[i+1] == asJSON
		}
	}
	return false
}

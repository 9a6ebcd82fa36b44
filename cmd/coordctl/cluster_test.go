package main

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"coordd.dev/coordtest"
)

// TestCluster is the contract of lock, sem and elect, and of what asks, against a real cluster.
func TestCluster(t *testing.T) {
	cluster := coordtest.New(t)
	target := cluster.Target()
	commands := scriptCommands()
	// waiters KIND NAME N returns once so many wait.
	commands["waiters"] = func(ts *testscript.TestScript, _ bool, args []string) {
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		cluster.AwaitWaiters(kinds()[args[0]], args[1], n)
	}
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/cluster",
		Cmds: commands,
		Setup: func(env *testscript.Env) error {
			env.Setenv(patient, "yes")
			env.Setenv("LONG", strings.Repeat("x", 257))
			return setup(target)(env)
		},
	})
}

// coordctl returns a command that runs coordctl against target.
func coordctl(target string, args ...string) *exec.Cmd {
	return exec.Command("coordctl", append([]string{"--endpoints", target}, args...)...)
}

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testscript.Main(attentive{m}, map[string]func(){
		// A session of its own, so that the tests are the same with a terminal and
		// without. Under ttyin it leads one already, and keeps that.
		"coordctl": func() {
			_, _ = syscall.Setsid()
			if os.Getenv(patient) != "" {
				os.Args = slices.Insert(os.Args, 1, "--timeout", "60")
			}
			main()
		},
	})
}

// patient is set where coordctl is to have time for its answers, so that a machine that
// stands still for some seconds is no cluster that does not answer.
const patient = "COORDCTL_TEST_PATIENT"

// attentive runs tests whose commands begin with no signal ignored, even if the tests
// themselves were started under nohup or in the background of a script: what is caught
// here is back at its default there.
type attentive struct{ *testing.M }

func (m attentive) Run() int {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	return m.M.Run()
}

// TestUsage is everything that needs no cluster: what is refused before one is asked,
// help, and the words of it all.
func TestUsage(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/usage", Cmds: scriptCommands(), Setup: setup("127.0.0.1:1")})
}

// setup gives a script its endpoint, and a place for its background commands.
func setup(target string) func(*testscript.Env) error {
	return func(env *testscript.Env) error {
		env.Setenv(envEndpoints, target)
		env.Values[jobs{}] = map[string]*job{}
		return nil
	}
}

type jobs struct{}

// A job is a command in the background of a script.
type job struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
}

// scriptCommands are what testscript lacks: exact exit codes, all signals, and waiting
// for an event instead of sleeping.
//
//	exits CODE COMMAND...       runs it; stdout and stderr are then to be looked at
//	launch NAME COMMAND...      runs it in the background
//	signal SIGNAL NAME          signals it, and nothing but it
//	collect NAME CODE           waits for it and leaves NAME.out and NAME.err
//	fifo FILE...                makes named pipes
//	await FILE                  reads one to its end and prints that to stdout
//	silent LINE...              demands that stderr is no more than that, but for slowReports
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits": func(ts *testscript.TestScript, _ bool, args []string) {
			err := ts.Exec(args[1], args[2:]...)
			if exit, ok := errors.AsType[*exec.ExitError](err); ok || err == nil {
				ts.Check(wantCode(args[0], exit))
				return
			}
			ts.Check(err)
		},
		"launch": func(ts *testscript.TestScript, _ bool, args []string) { launch(ts, args[0], args[1:]) },
		"signal": func(ts *testscript.TestScript, _ bool, args []string) {
			sig := unix.SignalNum("SIG" + args[0])
			if sig == 0 {
				ts.Fatalf("no signal %s", args[0])
			}
			ts.Check(find(ts, args[1]).cmd.Process.Signal(sig))
		},
		"collect": func(ts *testscript.TestScript, _ bool, args []string) {
			j := find(ts, args[0])
			exit, ok := errors.AsType[*exec.ExitError](j.cmd.Wait())
			ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), j.out.Bytes(), 0o600))
			ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), j.err.Bytes(), 0o600))
			ts.Logf("[%s stdout]\n%s[%s stderr]\n%s", args[0], &j.out, args[0], &j.err)
			if !ok {
				exit = nil
			}
			ts.Check(wantCode(args[1], exit))
		},
		"fifo": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, name := range args {
				ts.Check(unix.Mkfifo(ts.MkAbs(name), 0o600))
			}
		},
		"await": func(ts *testscript.TestScript, _ bool, args []string) {
			f, err := os.Open(ts.MkAbs(args[0])) // until somebody writes
			ts.Check(err)
			defer f.Close()
			b, err := io.ReadAll(f)
			ts.Check(err)
			_, err = ts.Stdout().Write(b)
			ts.Check(err)
		},
		"silent": func(ts *testscript.TestScript, _ bool, args []string) {
			said := slowReports.ReplaceAllString(ts.ReadFile("stderr"), "")
			if want := strings.Join(args, "\n"); strings.TrimSuffix(said, "\n") != want {
				ts.Fatalf("stderr is %q, not %q", said, want)
			}
		},
	}
}

// slowReports are what coordctl says, rightly, of a cluster that takes its time.
var slowReports = regexp.MustCompile(
	`(?m)^coordctl: (no answer from .* yet; trying for .*|.*: the cluster has not confirmed the release; .*)\n`)

func launch(ts *testscript.TestScript, name string, args []string) {
	path := args[0]
	if filepath.Base(path) == path {
		found, err := exec.LookPath(path)
		ts.Check(err)
		path = found
	}
	j := &job{cmd: exec.Command(path, args[1:]...)}
	j.cmd.Dir = ts.Getenv("WORK")
	for _, key := range []string{"PATH", "WORK", "HOME", "TMPDIR", envEndpoints, envLineage, patient} {
		if v := ts.Getenv(key); v != "" {
			j.cmd.Env = append(j.cmd.Env, key+"="+v)
		}
	}
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.err
	j.cmd.WaitDelay = time.Minute // for grandchildren that keep the pipes
	ts.Check(j.cmd.Start())
	all, _ := ts.Value(jobs{}).(map[string]*job)
	all[name] = j
	ts.Defer(func() { _ = j.cmd.Process.Kill() })
}

func find(ts *testscript.TestScript, name string) *job {
	all, _ := ts.Value(jobs{}).(map[string]*job)
	j := all[name]
	if j == nil {
		ts.Fatalf("nothing launched as %s", name)
	}
	return j
}

// wantCode compares exit codes; exit is nil for 0.
func wantCode(want string, exit *exec.ExitError) error {
	got := 0
	if exit != nil {
		got = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return errors.New("ended by signal " + status.Signal().String())
		}
	}
	if strconv.Itoa(got) != want {
		return errors.New("exit code " + strconv.Itoa(got) + ", not " + want)
	}
	return nil
}

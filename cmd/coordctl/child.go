package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// A child is the command that runs under the lock.
type child struct {
	cmd  *exec.Cmd
	own  bool       // it leads a process group of its own
	told bool       // a signal that asks it to end was passed on
	done chan error // receives what Wait returned, once
}

// prepare finds the command, before anything is locked for it. The child's streams
// are coordctl's own, so that it reads the very same terminal, pipe or file.
func (a *app) prepare(argv []string) (*exec.Cmd, *failure) {
	path, err := exec.LookPath(argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) { // a PATH may name the current directory
		return nil, cannotRun(argv[0], err)
	}
	cmd := &exec.Cmd{Path: path, Args: argv}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	return cmd, nil
}

// start runs cmd. With a controlling terminal the child stays in coordctl's process
// group, so that ^C, ^Z and hang-up reach it as they reach any command of a pipeline;
// without one it leads its own, and a signal is for all of that.
func start(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, own: !hasControllingTerminal(), done: make(chan error, 1)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: c.own}
	dieWithParent(cmd.SysProcAttr)

	started := make(chan error)
	go func() { // owned by whoever receives from done
		// The kernel takes the end of the starting thread for the end of the parent,
		// so this goroutine keeps its thread for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// signal sends sig to the child, and to its group if that is its own. An error means
// that it is gone already, which done tells better.
func (c *child) signal(sig syscall.Signal) {
	if c.own {
		_ = syscall.Kill(-c.cmd.Process.Pid, sig)
		return
	}
	_ = c.cmd.Process.Signal(sig)
}

// stop asks the child to end.
func (c *child) stop() {
	c.signal(syscall.SIGTERM)
	c.signal(syscall.SIGCONT) // a stopped one could not obey
}

// anyLeft reports whether somebody runs in the child's own group.
func (c *child) anyLeft() bool { return c.own && runs(c.cmd.Process.Pid) }

// forward passes on a signal that coordctl got.
func (c *child) forward(sig syscall.Signal) {
	c.told = c.told || sig != syscall.SIGUSR1 && sig != syscall.SIGUSR2
	if fromKeyboard := sig == syscall.SIGINT || sig == syscall.SIGQUIT; fromKeyboard && !c.own && inForeground() {
		return // the terminal sent it to the child too; a second one means "at once"
	}
	c.signal(sig)
}

// exitStatus is the exit code of a child that Wait returned err for.
func exitStatus(err error) int {
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // somebody whom it left behind has not read its stdin
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return exitSignal + int(status.Signal())
		}
		return exit.ExitCode()
	}
	return exitCoordctl // it ran, and how it ended cannot be known
}

// cannotRun tells a command that is not there from one that cannot be run.
func cannotRun(name string, err error) *failure {
	f := &failure{what: "run " + show(name), why: "cannot be run", code: exitCannotRun}
	var path *fs.PathError
	var lookup *exec.Error
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		f.why, f.code = "command not found", exitNoCommand
	case errors.As(err, &path):
		f.why = path.Err.Error()
	case errors.As(err, &lookup):
		f.why = lookup.Err.Error()
	case errors.Is(err, os.ErrInvalid):
	default:
		f.why = err.Error()
	}
	if errors.Is(err, syscall.ENOEXEC) {
		f.next = "put a line like #!/bin/sh at its top"
	}
	return f
}

package main

import (
	"errors"
	"io"
	"os"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
)

// isTerminal reports whether somebody sees w at once, so that a line may be rewritten.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// whenGone calls f once nobody reads w any more, unless the returned function is called
// before. That waits for an f that runs. A watch of what does not change would write nothing
// for a long time, and so not find out.
func whenGone(w io.Writer, f func()) (stop func()) {
	file, ok := w.(*os.File)
	if !ok {
		return func() {}
	}
	end, wake, err := os.Pipe() // poll hears of it when wake is closed
	if err != nil {
		return func() {} // writing will tell
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fds := []unix.PollFd{{Fd: int32(file.Fd())}, {Fd: int32(end.Fd())}}
		for {
			_, err := unix.Poll(fds, -1)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err == nil && fds[0].Revents != 0 && fds[1].Revents == 0 {
				f()
			}
			return
		}
	}()
	return func() {
		_ = wake.Close() // fails only if it is closed already
		<-done
		_ = end.Close()
	}
}

// hasControllingTerminal reports whether a terminal sends this process its signals.
func hasControllingTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	_ = tty.Close()
	return true
}

// inForeground reports whether keys like ^C are for this process group: then the
// child, which is in it, has had the signal from the terminal already.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

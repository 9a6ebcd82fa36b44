package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A terminal is the screen and keyboard of a command that has it for its controlling
// terminal.
type terminal struct {
	*os.File
	seen bytes.Buffer
}

// openTerminal returns a terminal and the file that stands for it.
func openTerminal(t *testing.T) (*terminal, *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &terminal{File: master}, tty
}

// run starts a command at the terminal.
func (s *terminal) run(t *testing.T, tty *os.File, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close() // from now on the terminal hangs up when the command is gone
	t.Cleanup(func() { _ = cmd.Process.Kill() })
}

// until reads the screen until it shows text, or to its end.
func (s *terminal) until(t *testing.T, text string) {
	t.Helper()
	b := make([]byte, 1024)
	for text == "" || !strings.Contains(s.seen.String(), text) {
		n, err := s.Read(b)
		s.seen.Write(b[:n])
		if err != nil { // EIO when the command is gone
			if text != "" {
				t.Fatalf("the screen ended without %q: %v\n%s", text, err, &s.seen)
			}
			return
		}
	}
}

// At a terminal ^C is for the command, and it must come once: many programs take a
// second one for "at once". Here the child has had the first before coordctl may act,
// and USR1 shows when it has acted: signals are taken in the order of their numbers.
func TestKeyboardInterruptsOnce(t *testing.T) {
	screen, tty := openTerminal(t)
	cmd := coordctl(coordtest.New(t).Target(), "lock", "--ttl", "1h", "keyboard", "--", "sh", "-c",
		`trap 'n=$((n+1)); echo "interrupt $n"' INT; trap 'echo acted' USR1; n=0; echo ready; while :; do sleep 0.01; done`)
	screen.run(t, tty, cmd)
	screen.until(t, "ready")
	send := func(sig syscall.Signal) {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	send(syscall.SIGSTOP)
	if _, err := io.WriteString(screen, "\x03"); err != nil {
		t.Fatal(err)
	}
	screen.until(t, "interrupt 1")
	send(syscall.SIGUSR1)
	send(syscall.SIGCONT)
	screen.until(t, "acted")
	send(syscall.SIGTERM)
	screen.until(t, "")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("coordctl: %v", err)
	}
	if strings.Contains(screen.seen.String(), "interrupt 2") {
		t.Error(screen.seen.String())
	}
}

// At a terminal the line of a wait is rewritten, and gone when the wait is over.
func TestWaitIsShownAndWipedAtATerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("a wait is shown after a second")
	}
	cluster := coordtest.New(t)
	hold, err := cluster.Dial(client.WithTTL(time.Hour)).Mutex("shown").LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	screen, tty := openTerminal(t)
	cmd := coordctl(cluster.Target(), "--timeout", "60", "lock", "--ttl", "1h", "shown", "--", "echo", "mine")
	screen.run(t, tty, cmd)
	screen.until(t, "waiting for shown: held")
	if err := hold.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	screen.until(t, "")
	if err := cmd.Wait(); err != nil {
		t.Errorf("coordctl: %v", err)
	}
	last := screen.seen.String()[strings.LastIndex(screen.seen.String(), "\x1b[K"):]
	if !strings.Contains(last, "mine") || strings.Contains(last, "waiting") {
		t.Errorf("the screen ends with %q", last)
	}
}

// At a terminal what is described is shown in place.
func TestDescribeIsRedrawnAtATerminal(t *testing.T) {
	cluster := coordtest.New(t)
	screen, tty := openTerminal(t)
	cmd := coordctl(cluster.Target(), "--timeout", "60", "describe", "lock", "drawn", "-w")
	screen.run(t, tty, cmd)
	screen.until(t, "\x1b[H\x1b[2Jlock drawn: held by nobody")
	if _, err := cluster.Dial(client.WithTTL(time.Hour)).Mutex("drawn").LockContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	screen.until(t, "\x1b[H\x1b[2Jlock drawn: held, nobody waits")
	if _, err := io.WriteString(screen, "\x03"); err != nil {
		t.Fatal(err)
	}
	screen.until(t, "")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 128+int(syscall.SIGINT) {
		t.Errorf("coordctl: %v", err)
	}
}

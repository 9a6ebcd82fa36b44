package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"coordd.dev/client"
)

// A watched child is a shell that says "ready" first. The pipe ends when it and all
// its descendants are gone.
type watched struct {
	*child
	out  *bufio.Reader
	lost chan struct{}
	sigs chan os.Signal
	err  error // what the hold says
}

func watch(t *testing.T, script string) *watched {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdout = w
	c, err := start(cmd)
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return &watched{child: c, out: bufio.NewReader(r), lost: make(chan struct{}), sigs: make(chan os.Signal, 8)}
}

func (w *watched) ready(t *testing.T) {
	t.Helper()
	if line, err := w.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
}

func (w *watched) lose(reason client.Reason) {
	w.err = &client.LostError{Reason: reason, At: time.Now()}
	close(w.lost)
}

// supervise must return, and the child must be gone when it does.
func (w *watched) supervise(t *testing.T, killAfter, maxRun time.Duration, want verdict) (status int, rest string) {
	t.Helper()
	g := guard{signals: w.sigs, lost: w.lost, err: func() error { return w.err }, killAfter: killAfter, maxRun: maxRun}
	got, err := g.supervise(w.child)
	if got != want {
		t.Errorf("verdict %d, want %d", got, want)
	}
	b, rerr := io.ReadAll(w.out)
	if rerr != nil {
		t.Error(rerr)
	}
	return exitStatus(err), string(b)
}

const (
	never    = time.Hour // longer than any test may take
	soon     = 50 * time.Millisecond
	loop     = "echo ready; while :; do sleep 0.01; done"
	polite   = "trap 'echo bye; exit 0' TERM; " + loop
	stubborn = "trap '' TERM; " + loop
)

func TestChildEndsOnItsOwn(t *testing.T) {
	for script, want := range map[string]int{
		"exit 0":         0,
		"exit 42":        42,
		"kill -9 $$":     128 + 9,
		"kill -USR1 $$":  128 + int(syscall.SIGUSR1),
		"exec kill -9 0": 128 + 9,
	} {
		if script == "exec kill -9 0" && hasControllingTerminal() {
			continue // that group is ours
		}
		w := watch(t, script)
		if got, _ := w.supervise(t, never, 0, onItsOwn); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
}

func TestLossIsTermThenKill(t *testing.T) {
	t.Run("polite", func(t *testing.T) {
		w := watch(t, polite)
		w.ready(t)
		w.lose(client.ReasonExpired)
		if status, rest := w.supervise(t, never, 0, lostLock); status != 0 || rest != "bye\n" {
			t.Errorf("exit %d after %q", status, rest)
		}
	})
	t.Run("stubborn", func(t *testing.T) {
		w := watch(t, stubborn)
		w.ready(t)
		start := time.Now()
		w.lose(client.ReasonRevoked)
		if status, _ := w.supervise(t, soon, 0, lostLock); status != 128+9 {
			t.Errorf("exit %d", status)
		}
		if took := time.Since(start); took < soon {
			t.Errorf("killed after %v, before its time", took)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		w := watch(t, polite)
		w.ready(t)
		w.signal(syscall.SIGSTOP)
		w.lose(client.ReasonExpired)
		if status, rest := w.supervise(t, never, 0, lostLock); status != 0 || rest != "bye\n" {
			t.Errorf("exit %d after %q", status, rest)
		}
	})
}

// The grace counts from the deadline, however late the loss is noticed: after a pause the
// lease may have ended long ago, and there is no time to be polite.
func TestGraceCountsFromTheLoss(t *testing.T) {
	for _, reason := range []client.Reason{client.ReasonExpired, client.ReasonPaused} {
		w := watch(t, stubborn)
		w.ready(t)
		w.err = &client.LostError{Reason: reason, At: time.Now().Add(-2 * never)}
		close(w.lost)
		if status, _ := w.supervise(t, never, 0, lostLock); status != 128+9 {
			t.Errorf("exit %d", status)
		}
	}
}

// A shell that obeys leaves no one behind who runs on without the lock: the others of its
// group have their grace too, and no more. The pipe's end, which supervise reads for,
// shows that they are gone.
func TestLossIsForTheGroup(t *testing.T) {
	if hasControllingTerminal() {
		t.Skip("the terminal's process group is not the child's own")
	}
	const shell = "trap 'exit 7' TERM; "
	for name, tc := range map[string]struct {
		script string
		grace  time.Duration
		rest   string
	}{
		"a polite one ends its work": {shell + "(trap 'sleep 0.1; echo bye; exit' TERM; " + loop + ") & wait", never, "bye\n"},
		"a stubborn one is killed":   {shell + "(trap '' TERM; " + loop + ") & wait", soon, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, tc.script)
			w.ready(t)
			w.lose(client.ReasonExpired)
			// A grace that is over soon may be over for a shell that obeys, too.
			status, rest := w.supervise(t, tc.grace, 0, lostLock)
			if (status != 7 && (status != 128+9 || tc.grace == never)) || rest != tc.rest {
				t.Errorf("exit %d after %q", status, rest)
			}
			if w.anyLeft() {
				t.Error("somebody is left")
			}
		})
	}
}

// A child that ends by itself, after its lock was lost and before anybody noticed, did
// not run under the lock.
func TestLossIsNoticedAtTheEnd(t *testing.T) {
	w := watch(t, "exit 0")
	w.err = &client.LostError{Reason: client.ReasonPaused, At: time.Now()}
	w.supervise(t, never, 0, lostLock)
}

func TestMaxRun(t *testing.T) {
	t.Run("polite", func(t *testing.T) {
		w := watch(t, polite)
		w.ready(t)
		if status, _ := w.supervise(t, never, soon, ranTooLong); status != 0 {
			t.Errorf("exit %d", status)
		}
	})
	t.Run("stubborn", func(t *testing.T) {
		w := watch(t, stubborn)
		w.ready(t)
		if status, _ := w.supervise(t, soon, soon, ranTooLong); status != 128+9 {
			t.Errorf("exit %d", status)
		}
	})
}

// Somebody whom the command has given to another parent is waited for too, and no longer
// than needed.
func TestLossIsForOrphans(t *testing.T) {
	if hasControllingTerminal() {
		t.Skip("the terminal's process group is not the child's own")
	}
	w := watch(t, "trap 'exit 7' TERM; ((trap 'sleep 0.1; exit' TERM; "+loop+") & ); while :; do sleep 0.01; done")
	w.ready(t)
	w.lose(client.ReasonExpired)
	if status, _ := w.supervise(t, never, 0, lostLock); status != 7 {
		t.Errorf("exit %d", status)
	}
	if w.anyLeft() {
		t.Error("somebody is left")
	}
}

// A lock that is lost while the command is stopped for another reason is what counts.
func TestLossOverrulesMaxRun(t *testing.T) {
	w := watch(t, "trap 'exit 3' TERM; "+loop)
	w.ready(t)
	w.err = &client.LostError{Reason: client.ReasonExpired, At: time.Now()}
	if status, _ := w.supervise(t, never, soon, lostLock); status != 3 {
		t.Errorf("exit %d", status)
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	for _, sig := range []syscall.Signal{
		syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGINT, syscall.SIGQUIT,
	} {
		w := watch(t, loop)
		if !w.own && (sig == syscall.SIGINT || sig == syscall.SIGQUIT) {
			w.signal(syscall.SIGKILL)
			continue // the terminal's own; see the script with one
		}
		w.ready(t)
		w.sigs <- sig
		if status, _ := w.supervise(t, never, 0, onItsOwn); status != 128+int(sig) {
			t.Errorf("%v: exit %d", sig, status)
		}
	}
}

// A signal is for the whole group, so that a shell's children do not stay behind. The
// pipe's end, which supervise reads for, shows that they are gone.
func TestSignalsReachTheGroup(t *testing.T) {
	if hasControllingTerminal() {
		t.Skip("the terminal's process group is not the child's own")
	}
	w := watch(t, "sleep 1000 & echo ready; wait")
	w.ready(t)
	w.sigs <- syscall.SIGTERM
	if status, _ := w.supervise(t, never, 0, onItsOwn); status != 128+int(syscall.SIGTERM) {
		t.Errorf("exit %d", status)
	}
}

func TestCannotRun(t *testing.T) {
	a := &app{}
	for name, want := range map[string]int{
		"/no/such/file": exitNoCommand, "no-such-command": exitNoCommand, "": exitNoCommand, "/": exitCannotRun,
	} {
		if _, f := a.prepare([]string{name}); f == nil || f.code != want {
			t.Errorf("%q: %v", name, f)
		}
	}
	cmd, f := a.prepare([]string{"./testdata/usage"})
	if f == nil {
		_, err := start(cmd)
		f = cannotRun("testdata", err)
	}
	if f.code != exitCannotRun {
		t.Errorf("a directory: %v", f)
	}
	if f := cannotRun("x", &os.PathError{Op: "fork/exec", Path: "x", Err: syscall.ENOEXEC}); f.code != exitCannotRun || f.next == "" {
		t.Errorf("no interpreter: %v", f)
	}
}

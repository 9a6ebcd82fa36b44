package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// role is set for a process that is a replica.
const role = "CRONLEADER_REPLICA"

func TestMain(m *testing.M) {
	if os.Getenv(role) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A process is a replica of its own, and what it prints.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Scanner
}

func launch(t *testing.T, target, name string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-name", name, "-every", "10ms", "-takes", "50ms", "-ttl", "1h")
	cmd.Env = append(os.Environ(), role+"=yes", "COORD_ENDPOINTS="+target)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &process{t, cmd, bufio.NewScanner(out)}
}

// await reads until a line that begins so, and returns what it passed over.
func (p *process) await(begins string) (passed []string) {
	p.t.Helper()
	for p.out.Scan() {
		if strings.HasPrefix(p.out.Text(), begins) {
			return passed
		}
		passed = append(passed, p.out.Text())
	}
	p.t.Fatalf("it never said %q, but %q", begins, passed)
	return nil
}

// A leader that is told to stop finishes its job and resigns, and the other goes on.
func TestToldToStop(t *testing.T) {
	cluster := coordtest.New(t)
	target := cluster.Target()
	a := launch(t, target, "a")
	a.await("a leads, term ")
	b := launch(t, target, "b")
	b.await("a leads, term ")
	cluster.AwaitWaiters(client.KindElection, "cronleader", 1)

	a.await("job begins, term ")
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	passed := a.await("resigned")
	if n := len(passed); n == 0 || passed[n-1] != "job done" {
		t.Errorf("before it resigned it said %q", passed)
	}
	if err := a.cmd.Wait(); err != nil {
		t.Error(err)
	}
	b.await("nobody leads")
	b.await("b leads, term ")
	b.await("job begins, term ")
	b.await("job done")
	if err := b.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	b.await("resigned")
	if err := b.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A replica that cannot go on says why, at once.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 1)
		r := &replica{name: strings.Repeat("long", 4096), every: time.Hour, say: func(string) {}}
		if err := r.run(t.Context(), cluster.Dial()); !errors.Is(err, client.ErrInvalid) {
			t.Error(err)
		}
	})
}

// A leader that is cut off stops its job before the other begins one, and leads again
// when it can.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 3)
		ctx, stop := context.WithCancel(t.Context())
		said := make(chan string, 1000)
		var running atomic.Int32
		replicaOf := func(name string) (c *client.Client, done chan error) {
			c, done = cluster.Dial(client.WithTTL(3*time.Second)), make(chan error, 1)
			r := &replica{name: name, every: time.Second, say: func(string) {}}
			r.job = func(ctx context.Context, term client.Token) error {
				if n := running.Add(1); n > 1 {
					t.Errorf("%d jobs run", n)
				}
				defer running.Add(-1)
				said <- fmt.Sprint(name, " ", term)
				t := time.NewTimer(time.Minute) // until long after the loss
				defer t.Stop()
				select {
				case <-t.C:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			go func() { done <- r.run(ctx, c) }()
			return c, done
		}
		a, aDone := replicaOf("a")
		first := <-said
		_, bDone := replicaOf("b")
		cluster.AwaitWaiters(client.KindElection, "cronleader", 1)
		cluster.Pause(a)
		second := <-said
		if !strings.HasPrefix(first, "a ") || !strings.HasPrefix(second, "b ") || first[2:] >= second[2:] {
			t.Errorf("%q, then %q", first, second)
		}
		cluster.Resume(a)
		cluster.AwaitWaiters(client.KindElection, "cronleader", 1)
		stop()
		if err := errors.Join(<-aDone, <-bDone); err != nil {
			t.Error(err)
		}
		if running.Load() != 0 || len(said) != 0 {
			t.Errorf("%d run, %d begin", running.Load(), len(said))
		}
	})
}

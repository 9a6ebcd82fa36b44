package fence_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/client/fence"
	"coordd.dev/test/daemons"
)

// shortTTL is the lease of who is stopped. It decides no verdict.
const shortTTL = time.Second

// The late write of a client that was stopped with SIGSTOP past its TTL, between its check
// and its write, is refused by the fence. Without the fence it lands.
func TestLateWriteIsRefused(t *testing.T) {
	binary, err := daemons.Build(t.Context(), "coordd.dev/cmd/coordd", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx := bounded(t) // a cold build has its own time
	c := cluster(ctx, t, binary)
	t.Run("stores", func(t *testing.T) { // c is stopped after all of them
		for name, open := range map[string]func(*testing.T) scene{
			"Go server":  func(t *testing.T) scene { return httpScene(ctx, t) },
			"SQLite":     func(t *testing.T) scene { return sqlScene(ctx, t, sqliteFile(t)) },
			"PostgreSQL": func(t *testing.T) scene { return sqlScene(ctx, t, postgresServer(t)) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // each waits for a lease to end
				testLateWrite(ctx, t, c, open(t))
			})
		}
	})
}

func testLateWrite(ctx context.Context, t *testing.T, c *daemons.Cluster, s scene) {
	late := startLateWriter(ctx, t, c, s.environ)
	first := late.expect("checked, holding ")
	if err := late.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	// Nothing but the end of the lease lets another in.
	other, err := client.Dial(ctx, c.Target(), client.WithTTL(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	h, err := other.Mutex(t.Name()).LockContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if h.Token().String() <= first { // same length: both are above 10^18
		t.Errorf("token %v after %s", h.Token(), first)
	}
	if err := s.write(h.Context(), "other", true); err != nil {
		t.Fatalf("the holder's write: %v", err)
	}

	for _, step := range []struct{ say, want, state string }{
		{"fenced", "refused", "other"},
		{"open", "landed", "late"}, // so it would have been
	} {
		fmt.Fprintln(late.in, step.say) // what it finds to do when it goes on
		if err := late.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if got := late.expect(step.say + ": "); got != step.want {
			t.Errorf("the late write, %s: %s", step.say, got)
		}
		if got := s.state(ctx, t); got != step.state {
			t.Errorf("%s, the state is of %q", step.say, got)
		}
	}

	// And the holder goes on.
	if err := s.write(h.Context(), "again", true); err != nil {
		t.Errorf("the holder's second write: %v", err)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Error(err)
	}
	if err := errors.Join(late.in.Close(), late.cmd.Wait()); err != nil {
		t.Error(err)
	}
}

// lateWriter holds the lock with a short lease, checks that it does, and then writes what
// its standard input says, line by line. The test stops it between check and write.
func lateWriter() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s, err := storeOf(ctx, os.Getenv("FENCE_STORE"), os.Getenv("FENCE_SOURCE"))
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, "", client.WithTTL(shortTTL), client.WithName("late"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	h, err := checked(ctx, c.Mutex(os.Getenv("FENCE_LOCK")))
	if err != nil {
		return err
	}
	token := h.Token()
	fmt.Println("checked, holding", token)

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		// The write of a program that has checked: nothing tells it to look again.
		err := s.write(client.ContextWithToken(ctx, token), "late", lines.Text() == "fenced")
		said := "landed"
		if errors.Is(err, fence.ErrStale) {
			said = "refused"
		} else if err != nil {
			said = err.Error()
		}
		fmt.Println(lines.Text()+":", said)
	}
	return lines.Err()
}

// checked locks until it surely holds: a stall of the machine may take a short lease.
func checked(ctx context.Context, mu *client.Mutex) (*client.Hold, error) {
	for {
		h, err := mu.LockContext(ctx)
		if err != nil {
			return nil, err
		}
		if h.Err() == nil && h.Token() != 0 {
			return h, nil
		}
	}
}

// A process is a lateWriter.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startLateWriter(ctx context.Context, t *testing.T, c *daemons.Cluster, environ []string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, os.Args[0]) // killed by ctx, stopped or not
	cmd.Env = append(os.Environ(), "FENCE_ROLE=late", "FENCE_LOCK="+t.Name(), "COORD_ENDPOINTS="+c.Target())
	cmd.Env = append(cmd.Env, environ...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // a second time says only that it is one
	})
	return &process{t, cmd, in, bufio.NewScanner(out)}
}

// expect reads a line that begins so, and returns the rest of it.
func (p *process) expect(prefix string) string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("it ended before it said %q: %v", prefix, p.out.Err())
	}
	rest, ok := strings.CutPrefix(p.out.Text(), prefix)
	if !ok {
		p.t.Fatalf("it said %q, not %q", p.out.Text(), prefix)
	}
	return rest
}

// cluster starts three nodes; they are stopped in the end, and must stop well.
func cluster(ctx context.Context, t *testing.T, binary string) *daemons.Cluster {
	t.Helper()
	dir := t.TempDir()
	c, err := daemons.Start(ctx, binary, dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if !t.Failed() {
			return
		}
		logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, name := range logs {
			b, _ := os.ReadFile(name)
			t.Logf("%s:\n%s", filepath.Base(name), b[max(0, len(b)-4<<10):])
		}
	})
	return c
}

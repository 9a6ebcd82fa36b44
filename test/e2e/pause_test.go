package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/test/daemons"
)

// A client that was stopped past its TTL knows at its first instruction that it lost.
func TestStoppedClientLearnsOfItsLoss(t *testing.T) {
	ctx := bounded(t)
	c := cluster(ctx, t)
	p := startRole(ctx, t, c, "pause")
	old := p.expect("session ")
	first := p.expect("token ")

	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	other, err := client.Dial(ctx, c.Target(), client.WithTTL(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	h, err := other.Mutex("paused").LockContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("granted to the next %v after the stop, with a TTL of 1s", time.Since(stopped).Round(time.Millisecond))
	if h.Token().String() <= first { // same length: both are above 10^18
		t.Errorf("token %v after %s", h.Token(), first)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}

	fmt.Fprintln(p.in) // what it will find to do when it goes on
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for _, say := range []string{"err is lost: ", "unlock is lost: ", "cause is lost: "} {
		if got := p.expect(say); got != "true" {
			t.Errorf("%s%s", say, got)
		}
	}
	if again := p.expect("again in "); again == old {
		t.Errorf("it locks again in the session that it lost, %s", old)
	}
	p.expect("token ")
	list := exec.CommandContext(ctx, coordctl(), "--timeout", "60", "session", "ls")
	list.Env = append(os.Environ(), "COORD_ENDPOINTS="+c.Target())
	out, err := list.CombinedOutput()
	if err != nil || strings.Contains(string(out), old) {
		t.Errorf("session ls still has %s (%v):\n%s", old, err, out)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A process is one of this test binary's, in a role.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func startRole(ctx context.Context, t *testing.T, c *daemons.Cluster, role string, env ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "E2E_ROLE="+role)
	cmd.Env = append(cmd.Env, env...)
	return begin(t, c, cmd)
}

// begin starts cmd against the cluster.
func begin(t *testing.T, c *daemons.Cluster, cmd *exec.Cmd) *process {
	t.Helper()
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "COORD_ENDPOINTS="+c.Target())
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

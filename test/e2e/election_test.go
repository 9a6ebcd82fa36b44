package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/test/daemons"
)

// The leading process is killed, and with it, each time, the node that leads coordd. The
// next candidate leads when the lease has run out, and an observer, a third process, sees
// leader, vacancy, leader, in rising terms, and misses none.
func TestLeadingProcessKilled(t *testing.T) {
	const ttl = 5 * time.Second
	ctx := bounded(t)
	c := cluster(ctx, t)
	watch := begin(t, c, exec.CommandContext(ctx, coordctl(), "--timeout", "60", "-o", "json", "elect", "--observe", "primary"))
	watch.want("vacant", "", 0)

	a := startRole(ctx, t, c, "lead", "E2E_NAME=a", "E2E_TTL="+ttl.String())
	first := term(t, a.expect("leads "))
	watch.want("leader", "a", first)
	b := startRole(ctx, t, c, "lead", "E2E_NAME=b", "E2E_TTL=1h")
	awaitWaiters(ctx, t, c, 1)

	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	killLeader(ctx, t, c)
	second := term(t, b.expect("leads "))
	t.Logf("b leads %v after a was killed, with a TTL of %v", time.Since(killed).Round(time.Millisecond), ttl)
	if second <= first {
		t.Errorf("term %d after %d", second, first)
	}
	watch.want("vacant", "a", first)
	watch.want("leader", "b", second)

	killLeader(ctx, t, c)
	fmt.Fprintln(b.in, "resign")
	watch.want("vacant", "b", second)
	if err := b.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := watch.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = watch.cmd.Wait()
	if code := watch.cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGINT) {
		t.Errorf("the observer ended with %d", code)
	}
	_ = a.cmd.Wait() // killed
	checkNothingLeft(ctx, t, c)
}

// lead leads until it is told to resign.
func lead(ctx context.Context) error {
	ttl, err := time.ParseDuration(os.Getenv("E2E_TTL"))
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, "", client.WithTTL(ttl))
	if err != nil {
		return err
	}
	l, err := c.Election("primary").Campaign(ctx, os.Getenv("E2E_NAME"))
	if err != nil {
		return err
	}
	fmt.Println("leads", l.Token())
	bufio.NewScanner(os.Stdin).Scan()
	return errors.Join(l.Err(), l.Resign(ctx), c.Close())
}

func term(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// want reads the next line of an observer.
func (p *process) want(state, value string, term uint64) {
	p.t.Helper()
	line := p.expect("")
	var got struct {
		State, Value, Term string
		Missed             uint64
	}
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		p.t.Fatalf("%s: %v", line, err)
	}
	if got.State != state || got.Value != value || got.Term != strconv.FormatUint(term, 10) || got.Missed != 0 {
		p.t.Errorf("the observer saw %s, not %s, %q, %d", line, state, value, term)
	}
}

// awaitWaiters waits until so many wait in the cluster.
func awaitWaiters(ctx context.Context, t *testing.T, c *daemons.Cluster, n int64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if got, err := counts(ctx, c); err == nil && got.GetWaiters() == n {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no %d waiters after %v", n, limit)
		}
	}
}

package abuse

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/test/daemons"
)

// full does all of it, with the default TTL; a hundredth fits beside other tests, which may
// take the processors for longer than that.
var full = flag.Bool("full", false, "5,000 silent connections and a million waits, not a hundredth of that")

const (
	fullTTL  = 10 * time.Second
	patient  = time.Minute
	sessions = 100
	limit    = 8 * time.Minute

	// memoryBound is what a node may take at the most, in bytes.
	memoryBound = 2 << 30
)

// An honest session holds a lock for good, and takes and releases another one.
type honest struct {
	client *client.Client
	hold   *client.Hold
	took   []time.Duration
	err    error
}

// A crew is the honest sessions.
type crew struct {
	root *client.Client
	ttl  time.Duration
	all  []*honest
	stop context.CancelFunc
	busy sync.WaitGroup
}

func hire(ctx context.Context, t *testing.T, target string, ttl time.Duration) *crew {
	t.Helper()
	root, err := client.Dial(ctx, target, client.WithTTL(ttl))
	if err != nil {
		t.Fatal(err)
	}
	w := &crew{root: root, ttl: ttl}
	for i := range sessions {
		c, err := root.NewSession(ctx, client.WithTTL(ttl))
		if err != nil {
			t.Fatal(err)
		}
		hold, err := c.Mutex(fmt.Sprintf("honest-%d", i)).LockContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		w.all = append(w.all, &honest{client: c, hold: hold})
	}
	ctx, w.stop = context.WithCancel(ctx)
	for i, h := range w.all {
		w.busy.Go(func() { h.work(ctx, fmt.Sprintf("busy-%d", i)) })
	}
	return w
}

// work takes a lock and lets go, with rests: it is not the honest that load the cluster.
func (h *honest) work(ctx context.Context, name string) {
	mutex := h.client.Mutex(name)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		began := time.Now()
		err := mutex.Do(context.WithoutCancel(ctx), func(context.Context, client.Token) error { return nil })
		h.took = append(h.took, time.Since(began))
		if err != nil {
			h.err = err
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// finish says what became of them.
func (w *crew) finish(t *testing.T) {
	t.Helper()
	w.stop()
	w.busy.Wait()
	var took []time.Duration
	for i, h := range w.all {
		if err := errors.Join(h.err, h.hold.Err()); err != nil {
			t.Errorf("honest session %d: %v", i, err)
		}
		took = append(took, h.took...)
		if err := h.client.Close(); err != nil {
			t.Errorf("honest session %d: close: %v", i, err)
		}
	}
	if err := w.root.Close(); err != nil {
		t.Error(err)
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(10 * time.Microsecond) }
	t.Logf("honest: %d sessions with a TTL of %v; %d locks, p50 %v, p99 %v, longest %v",
		len(w.all), w.ttl, len(took), at(.5), at(.99), at(1))
}

// memory is what a process has in memory now and had at the most, in bytes.
func memory(t *testing.T, pid int) (now, most int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "VmRSS:" && fields[0] != "VmHWM:" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if fields[0] == "VmRSS:" {
			now = kib << 10
		} else {
			most = kib << 10
		}
	}
	return now, most
}

func report(t *testing.T, when string, nodes []*daemons.Node) {
	t.Helper()
	for _, n := range nodes {
		now, most := memory(t, n.PID())
		t.Logf("%s: %s has %d MiB, at the most %d MiB", when, n.Name, now>>20, most>>20)
		if most > memoryBound {
			t.Errorf("%s took %d MiB, more than %d", n.Name, most>>20, memoryBound>>20)
		}
	}
}

// TestAbuse: while a cluster is abused, no honest session misses its lease, and no node takes
// more memory than it may.
func TestAbuse(t *testing.T) {
	scale, ttl := 100, patient
	if *full {
		scale, ttl = 1, fullTTL
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	binary, err := daemons.Build(ctx, "coordd.dev/cmd/coordd", dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := daemons.Start(ctx, binary, dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w := hire(ctx, t, c.Target(), ttl)
	report(t, "before", c.Nodes())
	a := attackBy(ctx, t, scale, leader)
	a.settle(ctx, t, leader)
	report(t, "at the end", c.Nodes())
	a.end(t)
	w.finish(t)
	for _, n := range c.Nodes() {
		if err := n.Ready(ctx); err != nil {
			t.Errorf("after all: %v", err)
		}
	}
}

// An attacker is the process that attacks: not the one of the honest, whose time it would take.
type attacker struct {
	cmd   *exec.Cmd
	in    io.Closer
	lines *bufio.Scanner
}

// attackBy starts one and returns when all is under way.
func attackBy(ctx context.Context, t *testing.T, scale int, on *daemons.Node) *attacker {
	t.Helper()
	a := &attacker{cmd: exec.CommandContext(ctx, os.Args[0])}
	a.cmd.Env = append(os.Environ(), "ABUSE="+strconv.Itoa(scale)+","+on.Client+","+on.Peer)
	a.cmd.Stderr = os.Stderr
	in, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.in, a.lines = in, bufio.NewScanner(out)
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for a.lines.Scan() {
		if a.lines.Text() == allSent {
			return a
		}
		t.Log(a.lines.Text())
	}
	t.Fatalf("the attack ended: %v", a.cmd.Wait())
	return nil
}

// end ends it.
func (a *attacker) end(t *testing.T) {
	t.Helper()
	if err := a.in.Close(); err != nil {
		t.Error(err)
	}
	for a.lines.Scan() {
		t.Log(a.lines.Text())
	}
	if err := a.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// settle waits until the node has done what was sent: its waits are counted twice alike.
func (a *attacker) settle(ctx context.Context, t *testing.T, n *daemons.Node) {
	t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for last := int64(-1); ; {
		st, err := n.Status(ctx)
		if err == nil {
			waiters := st.GetCounts().GetWaiters()
			if waiters == last {
				t.Logf("%d waits are parked", waiters)
				return
			}
			last = waiters
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the node does not settle")
		}
	}
}

func TestMain(m *testing.M) {
	orders := strings.Split(os.Getenv("ABUSE"), ",")
	if len(orders) != 3 {
		os.Exit(m.Run())
	}
	scale, err := strconv.Atoi(orders[0])
	if err == nil {
		err = run(scale, orders[1], orders[2], os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"coordd.dev/client"
	"coordd.dev/test/daemons"
)

// A scale is what -scale measures, and how much of it.
type scale struct {
	on          bool
	locks       int
	sessions    int
	connections int           // that the sessions share
	rounds      int           // snapshots
	acquirers   int           // goroutines that acquire
	every       time.Duration // snapshots: this long apart, or up to twice that
	watch       time.Duration // how long renewals are watched
	ttl         time.Duration // of the sessions that renew and die
}

const (
	lockSessions = 20 // that hold the locks: 65,536 open calls are the most of one
	sampled      = 1000
	checkers     = 16 // goroutines that try the sample

	// lasting is the TTL of who holds the locks: it is not to end while the node is away.
	lasting = time.Hour
)

// A scaleReport is what -json has of it.
type scaleReport struct {
	Locks    lockFigures    `json:"locks"`
	Sessions sessionFigures `json:"sessions"`
}

type lockFigures struct {
	N         int           `json:"n"`
	Sessions  int           `json:"sessions"`
	Took      time.Duration `json:"took_ns"`
	Memory    memory        `json:"memory"`  // of all, when they were taken
	Settled   memory        `json:"settled"` // and after the rounds
	Snapshot  stored        `json:"snapshot"`
	Rounds    []roundReport `json:"rounds"`
	All       roundReport   `json:"all"`
	Stop      time.Duration `json:"stop_ns"`
	Restart   time.Duration `json:"restart_ns"` // from the start of the process until ready
	Busy      time.Duration `json:"busy_ns"`    // processor time that it took meanwhile
	Behind    uint64        `json:"behind"`     // entries of the log behind the snapshot
	Sampled   int           `json:"sampled"`
	Free      int           `json:"free"` // of the sampled: must be none
	Lost      int64         `json:"lost"` // of all: must be none
	Restarted memory        `json:"restarted_memory"`
}

type roundReport struct {
	Snapshot time.Duration `json:"snapshot_ns"`
	Quiet    spread        `json:"quiet"`
	During   spread        `json:"during"`
	After    spread        `json:"after"`
}

func (r roundReport) ratio() float64 { return float64(r.During.P999) / float64(r.Quiet.P999) }

// run measures locks, then sessions, each on a node of its own.
func (c scale) run(ctx context.Context, daemon, dir string, out io.Writer) (*scaleReport, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // it is the node's collections that are measured
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil, fmt.Errorf("read load: %w", err)
	}
	fmt.Fprintf(out, "one node, a process of its own, its log and snapshots on disk; %s/%s, %d processors for it and its clients;\nload average before: %.14s\n\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), load)
	var r scaleReport
	if c.locks > 0 {
		if err := c.measureLocks(ctx, daemon, filepath.Join(dir, "locks"), &r.Locks, out); err != nil {
			return nil, fmt.Errorf("measure locks: %w", err)
		}
	}
	if c.sessions > 0 {
		if err := c.measureSessions(ctx, daemon, filepath.Join(dir, "sessions"), &r.Sessions, out); err != nil {
			return nil, fmt.Errorf("measure sessions: %w", err)
		}
	}
	return &r, nil
}

// startOne starts a cluster of one node in dir, which is made.
func startOne(ctx context.Context, daemon, dir string, flags ...string) (*daemons.Cluster, *daemons.Node, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make a directory: %w", err)
	}
	d, err := daemons.Start(ctx, daemon, dir, 1, append(flags, "--pprof")...)
	if err != nil {
		return nil, nil, err
	}
	return d, d.Nodes()[0], nil
}

func (c scale) measureLocks(ctx context.Context, daemon, dir string, f *lockFigures, out io.Writer) (err error) {
	d, node, err := startOne(ctx, daemon, dir, "--snapshot-entries", "1", "--snapshot-interval", c.every.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	h := holdings{
		target: d.Target(), connections: lockSessions, sessions: lockSessions,
		locks: c.locks, ttl: lasting, seed: rand.Uint64(),
	}
	p, _, err := startHolder(h)
	if err != nil {
		return err
	}
	defer p.kill()
	before, err := memoryOf(ctx, node)
	if err != nil {
		return err
	}
	if err := c.fill(ctx, node, p, f, before); err != nil {
		return err
	}
	if err := c.snapshots(ctx, d.Target(), node, f); err != nil {
		return err
	}
	settled, err := memoryOf(ctx, node)
	if err != nil {
		return err
	}
	f.Settled = settled.less(before)
	f.print(out)
	f.printRounds(out, c)
	if err := f.restart(ctx, node); err != nil {
		return err
	}
	if err := f.check(ctx, h, p); err != nil {
		return err
	}
	f.printRestart(out)
	if f.Free > 0 || f.Lost > 0 {
		return fmt.Errorf("after the restart %d of %d sampled locks are free, %d holds are lost", f.Free, f.Sampled, f.Lost)
	}
	return nil
}

// fill has the locks taken, and counts what they take of memory.
func (c scale) fill(ctx context.Context, node *daemons.Node, p *holder, f *lockFigures, before memory) error {
	locked, err := p.ask(sayLock)
	if err != nil {
		return err
	}
	after, err := memoryOf(ctx, node)
	if err != nil {
		return err
	}
	f.N, f.Sessions, f.Took, f.Memory = c.locks, lockSessions, locked.Took, after.less(before)
	return nil
}

// snapshots has locks acquired while the node takes snapshots now and then.
func (c scale) snapshots(ctx context.Context, target string, node *daemons.Node, f *lockFigures) (err error) {
	l, err := dialLockers(ctx, target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	w := watcherOf(node)
	var windows []window
	a := startAcquirers(ctx, l.clients, c.acquirers)
	for range c.rounds + 1 {
		seen, err := w.next(ctx, a.began)
		if err != nil {
			_, stopped := a.stop()
			return errors.Join(err, stopped)
		}
		windows = append(windows, seen)
	}
	made, err := a.stop()
	if err != nil {
		return err
	}
	shares := divide(made, windows)[1:] // the first was to warm up
	for i, s := range shares {
		f.Rounds = append(f.Rounds, roundOf(windows[i+1], s))
		f.All.Snapshot = max(f.All.Snapshot, windows[i+1].took())
	}
	longest := f.All.Snapshot
	f.All = roundOf(window{0, longest}, pool(shares))
	f.Snapshot, err = w.newest()
	return err
}

func roundOf(w window, s share) roundReport {
	return roundReport{w.took(), spreadOf(s.quiet), spreadOf(s.during), spreadOf(s.after)}
}

// restart stops the node in order and starts it again.
func (f *lockFigures) restart(ctx context.Context, node *daemons.Node) error {
	st, err := node.Status(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := node.Terminate(); err != nil {
		return err
	}
	f.Stop = time.Since(start)
	if f.Snapshot, err = watcherOf(node).newest(); err != nil {
		return err
	}
	f.Behind = st.GetAppliedIndex() - min(f.Snapshot.Index, st.GetAppliedIndex())
	start = time.Now()
	if err := node.Start(); err != nil {
		return err
	}
	if err := node.AwaitReady(ctx); err != nil {
		return err
	}
	f.Restart = time.Since(start)
	if f.Busy, err = cpuOf(node.PID()); err != nil {
		return err
	}
	f.Restarted, err = memoryOf(ctx, node)
	return err
}

// check tries locks that must be held, and asks who holds them.
func (f *lockFigures) check(ctx context.Context, h holdings, p *holder) (err error) {
	c, err := client.Dial(ctx, h.target, client.WithName("bench check"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	f.Sampled = min(sampled, h.locks)
	free := make([]bool, f.Sampled)
	err = each(checkers, f.Sampled, func(i int) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := c.Mutex(lockName(h.seed + rand.Uint64N(uint64(h.locks)))).TryLockContext(ctx)
		free[i] = err == nil
		if errors.Is(err, client.ErrBusy) {
			return nil
		}
		return err
	})
	for _, is := range free {
		if is {
			f.Free++
		}
	}
	held, asked := p.ask(sayCheck)
	f.Lost = held.Lost
	return errors.Join(err, asked)
}

func (f *lockFigures) print(out io.Writer) {
	n := int64(f.N)
	fmt.Fprintf(out, "%d locks held, names of 22 bytes at random, by %d sessions; taken in %v\n", f.N, f.Sessions, f.Took.Round(time.Millisecond))
	fmt.Fprintf(out, "a lock: %d bytes of Go's heap after a collection (target 400), %d of the process (RSS);\n", f.Settled.Heap/n, f.Settled.RSS/n)
	fmt.Fprintf(out, "%d and %d at once after loading, when raft's cache of the log (64 MB at most) has entries of many locks\n\n",
		f.Memory.Heap/n, f.Memory.RSS/n)
}

func (f *lockFigures) printRounds(out io.Writer, c scale) {
	fmt.Fprintf(out, "Lock, %d goroutines over %d sessions, each locks and unlocks names at random beside the held ones;\n", c.acquirers, dialed)
	fmt.Fprintf(out, "during: it met a snapshot (its file being written, %v before to %v after); after: in the %v behind it\n", windowBefore, windowAfter, afterwards)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "snapshot\ttook\tquiet: n\tp50\tp99\tp99.9\tduring: n\tp50\tp99\tp99.9\tafter: p99.9\tduring/quiet p99.9\t")
	line := func(name string, r roundReport) {
		fmt.Fprintf(w, "%s\t%v\t%d\t%v\t%v\t%v\t%d\t%v\t%v\t%v\t%v\t%.2f\t\n", name, r.Snapshot.Round(time.Millisecond),
			r.Quiet.N, round(r.Quiet.P50), round(r.Quiet.P99), round(r.Quiet.P999),
			r.During.N, round(r.During.P50), round(r.During.P99), round(r.During.P999), round(r.After.P999), r.ratio())
	}
	for i, r := range f.Rounds {
		line(fmt.Sprint(i+1), r)
	}
	line("all", f.All)
	_ = w.Flush() // out is told of like the rest
	fmt.Fprintf(out, "a snapshot has %.1f MB; target of the last column: 1.5\n\n", float64(f.Snapshot.Bytes)/1e6)
}

func (f *lockFigures) printRestart(out io.Writer) {
	fmt.Fprintf(out, "SIGTERM to exit %v; started again from the snapshot of entry %d and the %d entries behind it, ready in %v, %v of a processor (target 5s)\n",
		f.Stop.Round(time.Millisecond), f.Snapshot.Index, f.Behind, f.Restart.Round(10*time.Millisecond), f.Busy)
	fmt.Fprintf(out, "then: %d of %d locks at random are free, %d holds are lost (both must be 0); heap %d MB, RSS %d MB\n\n",
		f.Free, f.Sampled, f.Lost, f.Restarted.Heap>>20, f.Restarted.RSS>>20)
}

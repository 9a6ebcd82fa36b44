package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"coordd.dev/test/daemons"
)

type sessionFigures struct {
	N           int           `json:"n"`
	Connections int           `json:"connections"`
	TTL         time.Duration `json:"ttl_ns"`
	Took        time.Duration `json:"took_ns"`
	Memory      memory        `json:"memory"`       // of all, with their streams
	State       memory        `json:"state_memory"` // of all and a lock each, the streams gone
	Watched     time.Duration `json:"watched_ns"`
	CPU         float64       `json:"cpu"`        // of the node, in cores
	ClientCPU   float64       `json:"client_cpu"` // of the process that has the sessions
	Anew        int           `json:"anew"`       // sessions that were lost, and opened anew, before the process was killed
	First       time.Duration `json:"first_ns"`   // from SIGKILL to the first that was over
	Freed       time.Duration `json:"freed_ns"`   // and to the last
}

// few goroutines are those of a node without streams.
const few = 500

// measureSessions opens sessions, watches them renew, has each take a lock and kills
// their process.
func (c scale) measureSessions(ctx context.Context, daemon, dir string, f *sessionFigures, out io.Writer) (err error) {
	d, node, err := startOne(ctx, daemon, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	before, err := memoryOf(ctx, node)
	if err != nil {
		return err
	}
	p, opened, err := startHolder(holdings{
		target: d.Target(), connections: c.connections, sessions: c.sessions,
		locks: c.sessions, ttl: c.ttl, seed: rand.Uint64(),
	})
	if err != nil {
		return err
	}
	defer p.kill()
	f.N, f.Connections, f.TTL, f.Took = c.sessions, c.connections, c.ttl, opened.Took
	open, err := memoryOf(ctx, node)
	if err != nil {
		return err
	}
	f.Memory = open.less(before)
	if err := f.watch(ctx, node.PID(), p.cmd.Process.Pid, c.watch); err != nil {
		return err
	}
	f.print(out)
	held, err := p.ask(sayLock)
	if err != nil {
		return err
	}
	f.Anew = held.Anew
	if err := f.die(ctx, node, p, before); err != nil {
		return err
	}
	f.printDeath(out)
	return nil
}

// watch measures what renewals take of the processors.
func (f *sessionFigures) watch(ctx context.Context, node, clients int, d time.Duration) error {
	start := time.Now()
	before, err1 := cpuOf(node)
	clientsBefore, err2 := cpuOf(clients)
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err3 := cpuOf(node)
	clientsAfter, err4 := cpuOf(clients)
	f.Watched = time.Since(start)
	f.CPU = (after - before).Seconds() / f.Watched.Seconds()
	f.ClientCPU = (clientsAfter - clientsBefore).Seconds() / f.Watched.Seconds()
	return errors.Join(err1, err2, err3, err4)
}

// die kills the clients and waits until all that was theirs is free. Meanwhile, once the
// streams are gone, it counts what is left of memory.
func (f *sessionFigures) die(ctx context.Context, node *daemons.Node, p *holder, before memory) error {
	start := time.Now()
	p.kill()
	counted := false
	for {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		st, err := node.Status(ctx)
		since := time.Since(start)
		switch counts := st.GetCounts(); {
		case err != nil:
			continue // it may be slow to answer
		case counts.GetSessions() == 0 && counts.GetHolds() == 0:
			f.Freed = since
			return nil
		case f.First == 0 && counts.GetSessions() < int64(f.N):
			f.First = since
		case f.First == 0 && !counted && since > time.Second:
			n, err := goroutinesOf(ctx, node)
			if err != nil {
				return err
			}
			if n > few {
				continue
			}
			left, err := memoryOf(ctx, node)
			if err != nil {
				return err
			}
			f.State, counted = left.less(before), true
		}
	}
}

func (f *sessionFigures) print(out io.Writer) {
	n := int64(f.N)
	fmt.Fprintf(out, "%d sessions of one process on %d connections, TTL %v; opened in %v\n", f.N, f.Connections, f.TTL, f.Took.Round(time.Millisecond))
	fmt.Fprintf(out, "a session with its open stream: %d bytes of Go's heap after a collection, %d of stacks, %d of the process (RSS)\n",
		f.Memory.Heap/n, f.Memory.Stack/n, f.Memory.RSS/n)
	fmt.Fprintf(out, "renewals over %v: %.1f%% of a core in the node (target 10%%), %.0f%% in the clients' process\n",
		f.Watched.Round(time.Second), 100*f.CPU, 100*f.ClientCPU)
}

func (f *sessionFigures) printDeath(out io.Writer) {
	fmt.Fprintf(out, "each session took a lock; %d sessions were lost meanwhile and opened anew (should be 0)\n", f.Anew)
	fmt.Fprintf(out, "SIGKILL of that process: the first session was over after %v, the last lock free after %v (target %v)\n",
		f.First.Round(time.Millisecond), f.Freed.Round(time.Millisecond), f.TTL+time.Second)
	if f.State.Heap > 0 {
		fmt.Fprintf(out, "a session and a lock, once its stream is gone: %d bytes of Go's heap after a collection (target 300 + 400)\n",
			f.State.Heap/int64(f.N))
	}
}

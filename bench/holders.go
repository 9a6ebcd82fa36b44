package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"coordd.dev/client"
)

// Holders are sessions, and what they hold, in a process of their own: a collection of
// garbage among a million holds is not to disturb what is measured, and who is to die at
// once is to be killed.
//
// The process is this program, called "bench hold". It writes a line of JSON when its
// sessions are open; then each line that it reads, "lock" or "check", has one in answer.
// It ends with its input, and leaves its sessions as a crash would.
type holdings struct {
	target      string
	connections int
	sessions    int // all connections together
	locks       int // all sessions together
	ttl         time.Duration
	seed        uint64 // of the names
}

const (
	commandHold = "hold"
	sayLock     = "lock"
	sayCheck    = "check"
	openers     = 16   // goroutines that open sessions, while those that are open renew
	takers      = 1024 // goroutines that lock

	// stepLimit bounds the opening of all sessions, and the taking of all locks: where the
	// machine has not the processors for it, sessions may end as fast as others open.
	stepLimit = 10 * time.Minute
)

// An answer is what the process says.
type answer struct {
	Took   time.Duration `json:"took_ns"`
	Locked int64         `json:"locked"` // holds it has had
	Lost   int64         `json:"lost"`   // of them, that were lost
	Anew   int           `json:"anew"`   // sessions that are not the first of their client
}

// lockName is the n-th name at random.
func lockName(n uint64) string {
	n += 0x9e3779b97f4a7c15 // splitmix64
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return fmt.Sprintf("scale/%016x", n^n>>31)
}

// A holder is the process as its parent sees it.
type holder struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

// startHolder starts the process and waits until its sessions are open.
func startHolder(h holdings) (_ *holder, opened answer, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, opened, fmt.Errorf("start holders: %w", err)
	}
	cmd := exec.Command(self, commandHold, "-target", h.target,
		"-connections", fmt.Sprint(h.connections), "-sessions", fmt.Sprint(h.sessions),
		"-locks", fmt.Sprint(h.locks), "-ttl", h.ttl.String(), "-seed", fmt.Sprint(h.seed))
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, opened, fmt.Errorf("start holders: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, opened, fmt.Errorf("start holders: %w", err)
	}
	p := &holder{cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	if opened, err = p.hear(); err != nil {
		p.kill()
		return nil, opened, err
	}
	return p, opened, nil
}

// ask says a word and returns the answer.
func (p *holder) ask(word string) (answer, error) {
	if _, err := fmt.Fprintln(p.stdin, word); err != nil {
		return answer{}, fmt.Errorf("tell holders to %s: %w", word, err)
	}
	return p.hear()
}

func (p *holder) hear() (a answer, err error) {
	if !p.lines.Scan() {
		return a, errors.Join(errors.New("the holders' process has ended"), p.lines.Err())
	}
	if err := json.Unmarshal(p.lines.Bytes(), &a); err != nil {
		return a, fmt.Errorf("hear holders: %w", err)
	}
	return a, nil
}

// kill ends the process with SIGKILL and waits until it is gone. It may come twice.
func (p *holder) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()         // it says only that it was killed
}

// hold is the process: it obeys its input until that ends.
func hold(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	var h holdings
	f := flag.NewFlagSet(commandHold, flag.ContinueOnError)
	f.StringVar(&h.target, "target", "", "endpoints")
	f.IntVar(&h.connections, "connections", 1, "how many")
	f.IntVar(&h.sessions, "sessions", 1, "how many")
	f.IntVar(&h.locks, "locks", 1, "how many")
	f.DurationVar(&h.ttl, "ttl", time.Hour, "of the sessions")
	f.Uint64Var(&h.seed, "seed", 0, "of the names")
	if err := f.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(400) // it is the node that is measured
	tell := json.NewEncoder(out)
	var a answer
	var lost atomic.Int64
	start := time.Now()
	clients, err := h.open(ctx, func(*client.LostError) { lost.Add(1) })
	if err != nil {
		return err
	}
	first := make([]client.SessionID, len(clients))
	for i, c := range clients {
		first[i] = c.Session().ID
	}
	a.Took = time.Since(start)
	if err := tell.Encode(a); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	for words := bufio.NewScanner(in); words.Scan(); {
		if words.Text() == sayLock {
			start := time.Now()
			if err := h.lock(ctx, clients); err != nil {
				return err
			}
			a.Took, a.Locked = time.Since(start), int64(h.locks)
		}
		a.Lost, a.Anew = lost.Load(), 0
		for i, c := range clients {
			if c.Session().ID != first[i] {
				a.Anew++
			}
		}
		if err := tell.Encode(a); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	return nil
}

// open opens the sessions, the same number on each connection.
func (h holdings) open(ctx context.Context, lost func(*client.LostError)) ([]*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	clients := make([]*client.Client, h.sessions)
	options := []client.Option{client.WithName("bench"), client.WithTTL(h.ttl), client.WithOnLost(lost),
		client.WithLogger(slog.New(slog.DiscardHandler))} // which would say it of each session
	for i := range min(h.connections, h.sessions) {
		c, err := client.Dial(ctx, h.target, options...)
		if err != nil {
			return nil, err
		}
		clients[i] = c
	}
	return clients, each(openers, h.sessions-h.connections, func(i int) error {
		i += h.connections
		c, err := clients[i%h.connections].NewSession(ctx)
		clients[i] = c
		return err
	})
}

// lock takes the locks, over all sessions alike. The holds are the clients', which last.
func (h holdings) lock(ctx context.Context, clients []*client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	return each(takers, h.locks, func(i int) error {
		_, err := clients[i%len(clients)].Mutex(lockName(h.seed + uint64(i))).LockContext(ctx)
		return err
	})
}

// each calls f with 0 to n-1 from so many goroutines, and returns the first error.
func each(goroutines, n int, f func(i int) error) error {
	var next atomic.Int64
	var once sync.Once
	var first error
	var group sync.WaitGroup
	for range min(goroutines, n) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					once.Do(func() { first = err })
					next.Store(int64(n))
				}
			}
		})
	}
	group.Wait()
	return first
}

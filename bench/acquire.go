package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"coordd.dev/client"
)

// A timed is one acquisition: when it began, since the measurement did, and what it took.
type timed struct{ at, took time.Duration }

// acquirers lock and unlock in a closed loop, each a name at random, until stop.
type acquirers struct {
	began  time.Time
	cancel context.CancelFunc
	group  sync.WaitGroup
	made   [][]timed // of each
	errs   []error
}

// startAcquirers starts n of them, over the clients.
func startAcquirers(ctx context.Context, clients []*client.Client, n int) *acquirers {
	ctx, cancel := context.WithCancel(ctx)
	a := &acquirers{began: time.Now(), cancel: cancel, made: make([][]timed, n), errs: make([]error, n)}
	for i := range n {
		c := clients[i%len(clients)]
		a.group.Go(func() { a.made[i], a.errs[i] = a.acquire(ctx, c) })
	}
	return a
}

func (a *acquirers) acquire(ctx context.Context, c *client.Client) (made []timed, err error) {
	for {
		m := c.Mutex(lockName(rand.Uint64()))
		start := time.Now()
		h, err := m.LockContext(ctx)
		took := time.Since(start)
		if err == nil {
			made = append(made, timed{start.Sub(a.began), took})
			err = h.Unlock(ctx)
		}
		if ctx.Err() != nil {
			return made, nil
		}
		if err != nil {
			return made, err
		}
	}
}

// stop ends them and returns what they made, and the first error.
func (a *acquirers) stop() ([]timed, error) {
	a.cancel()
	a.group.Wait()
	for _, err := range a.errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(a.made...), nil
}

// A window is when a snapshot was written, since the measurement began.
type window struct{ begin, end time.Duration }

func (w window) took() time.Duration { return w.end - w.begin }

const (
	// A snapshot is taken and its file made a moment before the file can be seen, and the
	// log is truncated after its end: that counts as during it.
	windowBefore = 20 * time.Millisecond
	windowAfter  = 100 * time.Millisecond

	// afterwards is how long after a snapshot acquisitions are counted apart: most of the
	// machine's tables is copied then, node by node, as it is changed.
	afterwards = time.Second
)

// A share is the acquisitions of one round of one kind.
type share struct {
	quiet, during, after []time.Duration
}

// divide gives each acquisition to the round of the snapshot that it met or, if it is a
// quiet one, came before. Those behind the last snapshot are left out.
func divide(made []timed, windows []window) []share {
	shares := make([]share, len(windows))
	for _, m := range made {
		from, to := m.at, m.at+m.took
		i, _ := slices.BinarySearchFunc(windows, from, func(w window, t time.Duration) int {
			if w.end+windowAfter < t {
				return -1
			}
			return 1
		}) // the first that ends after it began
		recent := i > 0 && from < windows[i-1].end+windowAfter+afterwards
		switch {
		case i < len(windows) && to >= windows[i].begin-windowBefore:
			shares[i].during = append(shares[i].during, m.took)
		case recent:
			shares[i-1].after = append(shares[i-1].after, m.took)
		case i < len(windows):
			shares[i].quiet = append(shares[i].quiet, m.took)
		}
	}
	return shares
}

// pool makes one of all shares.
func pool(shares []share) (all share) {
	for _, s := range shares {
		all.quiet = append(all.quiet, s.quiet...)
		all.during = append(all.during, s.during...)
		all.after = append(all.after, s.after...)
	}
	return all
}

// A spread is what -json has of some latencies.
type spread struct {
	N    int           `json:"n"`
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Most time.Duration `json:"max_ns"`
}

func spreadOf(latencies []time.Duration) spread {
	r := summarize([]sample{{latencies}}, time.Second)
	s := spread{N: r.N, P50: r.P50, P99: r.P99, P999: r.P999}
	if len(latencies) > 0 {
		s.Most = slices.Max(latencies)
	}
	return s
}

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// A replica serves users, some of them with the new version.
type replica struct {
	part     stage.Part
	client   *client.Client
	rollouts *client.Map[string, rollout]
	counts   *client.Map[string, count]
	canary   func(rollout) error // serves a request with the new version

	mu   sync.Mutex
	now  rollout // as it was last heard
	seen count   // of it
}

func newReplica(c *client.Client, p stage.Part, canary func(rollout) error) *replica {
	return &replica{
		part:     p,
		client:   c,
		rollouts: client.NewMap[string, rollout](c, p.Object("rollouts")),
		counts:   client.NewMap[string, count](c, p.Object("counts")),
		canary:   canary,
	}
}

// start follows the rollout and reports on it, until stop, which waits for the end of that.
func (r *replica) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var busy sync.WaitGroup
	for _, f := range []func(context.Context) error{r.follow, r.report} {
		busy.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				r.part.Say("serves with what it knows: %v", err)
			}
		})
	}
	return func() {
		cancel()
		busy.Wait()
	}
}

// follow hears of every change of the rollout.
func (r *replica) follow(ctx context.Context) error {
	for {
		for e, err := range r.rollouts.Watch(ctx, 0) {
			switch {
			case errors.Is(err, client.ErrSkipped): // start afresh
			case err != nil:
				return fmt.Errorf("follow the rollout: %w", err)
			case e.Type == client.EventDeleted && e.Key == service:
				r.hear(rollout{})
			case e.Type == client.EventStored && e.Key == service:
				r.hear(e.Value)
			}
		}
	}
}

func (r *replica) hear(now rollout) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
	if !r.seen.of(now) {
		r.seen = count{Version: now.Version, Stage: now.Stage}
	}
}

// serve serves a user, and reports whether with the new version. A user who has it keeps it
// while its part rises.
func (r *replica) serve(user string) bool {
	r.mu.Lock()
	now := r.now
	r.mu.Unlock()
	if int(crc32.ChecksumIEEE([]byte(user))%100) >= now.percent() || !r.hears() {
		return false // the old version's
	}
	err := r.canary(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen.of(now) {
		r.seen.Served++
		if err != nil {
			r.seen.Failed++
		}
	}
	return true
}

// hears reports whether the replica would have heard of a change, but for a lease's length:
// then its session is over. The clock is read, since timers may be late.
func (r *replica) hears() bool {
	s := r.client.Session()
	return s.Context().Err() == nil && time.Now().Before(s.Deadline)
}

// report says every so often what was seen.
func (r *replica) report(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var said count
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		r.mu.Lock()
		seen := r.seen
		r.mu.Unlock()
		if seen == said {
			continue
		}
		if err := r.counts.StoreContext(ctx, r.part.Name, seen); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		said = seen
	}
}

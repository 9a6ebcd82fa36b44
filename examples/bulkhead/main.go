// Bulkhead limits the calls to a backend over all processes together, and refuses at once
// what is too much.
//
//	go run ./examples/bulkhead
//
// Two frontends call a backend that takes three calls at a time. Frontend a has all three
// under way, so b is refused at once and told by whom. Then a is killed (SIGKILL): its
// permits are free again when its lease of 3 s is over, without anybody's doing.
//
// What is yours to copy is in bulkhead.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

const (
	limit = 3
	ttl   = 3 * time.Second
)

func main() {
	os.Exit(stage.Run(stage.Play{
		Name:   "bulkhead",
		Story:  tell,
		Roles:  map[string]stage.Role{"frontend": frontend},
		Leaves: []client.Ref{{Kind: client.KindSemaphore, Name: "backend"}},
	}))
}

// frontend makes calls, one at a time for each of its arguments, which is how long the
// backend takes for it; as soon as one has an answer it makes the next, three times.
func frontend(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(ttl))
	if err != nil {
		return err
	}
	defer c.Close()
	b := newBulkhead(c, p)
	failed := make(chan error, len(p.Args))
	for i, arg := range p.Args {
		takes, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		go func() { failed <- call(ctx, b, p, fmt.Sprintf("call %d", i+1), takes) }()
	}
	var errs []error
	for range p.Args {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

// call is one call, through the bulkhead. A refusal is an answer too: here it is said.
func call(ctx context.Context, b *bulkhead, p stage.Part, name string, takes time.Duration) error {
	start := time.Now()
	err := b.do(ctx, func(ctx context.Context) error {
		p.Say("%s is with the backend", name)
		return stage.Work(ctx, takes)
	})
	if busy, ok := errors.AsType[*client.BusyError](err); ok {
		p.Say("%s is refused after %v: %d holders, the first is %v", name, time.Since(start).Round(time.Millisecond), len(busy.Holders), busy.Holders[0])
		return nil
	}
	if err == nil {
		p.Say("%s is answered", name)
	}
	return err
}

func tell(ctx context.Context, s *stage.Stage) error {
	a, err := s.Start(ctx, "frontend", "a", "1h", "1h", "1h")
	if err != nil {
		return err
	}
	for range limit {
		if _, err := a.Await(ctx, "call"); err != nil {
			return err
		}
	}
	b, err := s.Start(ctx, "frontend", "b", "100ms", "100ms")
	if err != nil {
		return err
	}
	if err := b.Wait(); err != nil {
		return err
	}
	if err := a.Kill(); err != nil {
		return err
	}
	s.Say("a is killed; its lease of %v runs out, and its permits with it", ttl)

	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	start := time.Now()
	h, err := newBulkhead(c, s.Part).permits.AcquireHold(ctx, limit) // waits: to see when
	if err != nil {
		return err
	}
	s.Say("all %d permits are back after %v", limit, time.Since(start).Round(100*time.Millisecond))
	if err := h.Unlock(ctx); err != nil {
		return err
	}
	if b, err = s.Start(ctx, "frontend", "b2", "100ms", "100ms"); err != nil {
		return err
	}
	return b.Wait()
}

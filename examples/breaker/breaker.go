package main

import (
	"context"
	"errors"
	"sync"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// A verdict is what one process has found out for all.
type verdict struct {
	Open bool
	By   string
}

// A breaker has a breaker of this process, whose counts are its own: to count over all
// processes would cost a round trip a call. What is shared is the verdict, in a map that
// each process follows; it is a hint, and a call that comes before the hint fails by itself.
//
// Half-open is for one process alone, which holds the lock for the time of its probe; if it
// dies another has it, when its lease is over.
type breaker struct {
	self     string
	local    circuitbreaker.CircuitBreaker[any]
	verdicts *client.Map[string, verdict]
	probe    *client.Mutex
	say      func(format string, args ...any)
}

const backendName = "backend" // one entry a backend

// newBreaker starts following the others' verdicts, until stop.
func newBreaker(c *client.Client, p stage.Part) (b *breaker, stop func()) {
	b = &breaker{
		self:     p.Name,
		local:    circuitbreaker.NewBuilder[any]().WithFailureThreshold(failures).WithSuccessThreshold(1).WithDelay(delay).Build(),
		verdicts: client.NewMap[string, verdict](c, p.Object("breakers")),
		probe:    c.Mutex(p.Object("probe")),
		say:      p.Say,
	}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { b.follow(ctx) })
	return b, func() { cancel(); following.Wait() }
}

// do calls f, or returns circuitbreaker.ErrOpen.
func (b *breaker) do(ctx context.Context, f func(context.Context) error) error {
	if b.local.IsClosed() {
		return b.try(ctx, f)
	}
	if b.local.RemainingDelay() > 0 {
		return circuitbreaker.ErrOpen
	}
	h, err := b.probe.TryLockContext(ctx)
	if errors.Is(err, client.ErrBusy) {
		return circuitbreaker.ErrOpen // another probes
	}
	if err != nil {
		return err
	}
	return h.Do(ctx, func(ctx context.Context, _ client.Token) error {
		// The last prober may have found out something that is not heard here yet.
		v, ok, err := b.verdicts.LoadContext(ctx, backendName)
		switch {
		case err != nil:
			return err
		case ok && !v.Open:
			b.hear(v)
		default:
			b.say("probes")
		}
		return b.try(ctx, f)
	})
}

// try calls f, counts how that went, and publishes a change that this makes.
func (b *breaker) try(ctx context.Context, f func(context.Context) error) error {
	if !b.local.TryAcquirePermit() {
		return circuitbreaker.ErrOpen
	}
	wasClosed := b.local.IsClosed()
	err := f(ctx)
	b.local.RecordError(err)
	if wasClosed && b.local.IsClosed() {
		return err
	}
	v := verdict{Open: !b.local.IsClosed(), By: b.self}
	if v.Open {
		b.say("opens the breaker of all")
	} else {
		b.say("closes the breaker of all")
	}
	return errors.Join(err, b.verdicts.StoreContext(ctx, backendName, v))
}

// follow hears verdicts until ctx ends. Where some are missed the latest is told anew, and
// that is all that is needed.
func (b *breaker) follow(ctx context.Context) {
	for {
		for ev, err := range b.verdicts.Watch(ctx, 0) {
			if errors.Is(err, client.ErrSkipped) {
				break
			}
			if err != nil {
				if ctx.Err() == nil {
					b.say("follows the others no more: %v", err) // its own breaker goes on
				}
				return
			}
			if ev.Type == client.EventStored && ev.Key == backendName && ev.Value.By != b.self {
				b.hear(ev.Value)
			}
		}
	}
}

// hear does as a verdict says. One that is open again after a probe has its delay afresh.
func (b *breaker) hear(v verdict) {
	if !v.Open {
		b.local.Close()
		return
	}
	if b.local.IsClosed() {
		b.say("opens its breaker, as %s has", v.By)
	}
	b.local.HalfOpen()
	b.local.Open()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"coordd.dev/client"
)

// A balances is what all accounts have: a projection, made of events and of nothing else.
type balances struct {
	log eventLog
	say func(format string, args ...any)

	mu    sync.Mutex
	whole bool // all events are in it that were there when it began
	at    seq  // of the last event that is in it
	sums  map[string]int
	moved chan struct{} // closed by the next change of these
}

func newBalances(log eventLog, say func(string, ...any)) *balances {
	return &balances{log: log, say: say, sums: make(map[string]int), moved: make(chan struct{})}
}

// follow makes b of the events that are there, and keeps it current, until ctx ends. Watch
// first tells what is there, as it is at one revision, then what changes after that one: no
// event is missed between the two, and none told twice.
func (b *balances) follow(ctx context.Context) error {
	for {
		err := b.replay(ctx)
		if !errors.Is(err, client.ErrSkipped) {
			return err
		}
		b.mu.Lock() // events were missed: from nothing again
		b.whole, b.at, b.sums = false, 0, make(map[string]int)
		b.mu.Unlock()
	}
}

func (b *balances) replay(ctx context.Context) error {
	for e, err := range b.log.events.Watch(ctx, 0) {
		if err == nil {
			err = b.take(e)
		}
		if err != nil {
			return fmt.Errorf("follow the log: %w", err)
		}
	}
	return nil
}

// take takes the next event.
func (b *balances) take(e client.Event[seq, event]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case e.Type == client.EventSynced:
		b.whole = true
	case e.Type != client.EventStored || e.Key != b.at+1:
		return fmt.Errorf("event %d comes after event %d: has somebody changed the log?", e.Key, b.at)
	default:
		b.at = e.Key
		b.apply(e.Value)
	}
	close(b.moved)
	b.moved = make(chan struct{})
	return nil
}

// apply is all that an event means. b.mu is held.
func (b *balances) apply(e event) { b.sums[e.Account] += e.Amount }

// of is what an account has, and after which event.
func (b *balances) of(account string) (seq, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at, b.sums[account]
}

// all is a copy.
func (b *balances) all() (seq, map[string]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at, maps.Clone(b.sums)
}

// await returns once event n is in it, and all that were there when it began.
func (b *balances) await(ctx context.Context, n seq) error {
	for {
		b.mu.Lock()
		reached, moved := b.whole && b.at >= n, b.moved
		b.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// withdraw takes an amount from an account, and reports whether there was enough, by all
// events before it.
func (b *balances) withdraw(ctx context.Context, account string, amount int) (bool, error) {
	e := newEvent(account, -amount)
	for {
		at, has := b.of(account)
		if has < amount {
			return false, nil
		}
		first, err := b.log.append(ctx, at+1, e)
		if err != nil {
			return false, err
		}
		if err := b.await(ctx, at+1); err != nil || first {
			return first, err
		}
		b.say("event %d is somebody else's: looks again", at+1)
	}
}

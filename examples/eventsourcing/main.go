// Eventsourcing keeps accounts as nothing but what has happened to them.
//
//	go run ./examples/eventsourcing
//
// The log of events is a map from numbers to events. Who appends says which number the event
// is to have, and by that which events it has seen: if somebody else was first it looks
// again and decides anew. So three tellers never pay out more than there is, without a lock.
// Balances are a projection: each process makes its own from the log, and keeps it current
// by following the log from the very moment at which it was read. One that starts again
// comes to the same.
//
// A map has at most 4,096 entries and 512 KiB, and the cluster keeps all of it in memory on
// every node. So the log of a real shop is a table of its database, with the number as the
// primary key (an INSERT that fails is the append that comes too late), with snapshots of
// old events; what is left for the cluster is to tell everybody the latest number.
//
// What is yours to copy is in log.go and balances.go.
package main

import (
	"context"
	"os"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

func main() { os.Exit(stage.Run(play())) }

func play() stage.Play {
	return stage.Play{
		Name:   "eventsourcing",
		Story:  story,
		Roles:  map[string]stage.Role{"teller": tellerRole, "auditor": auditorRole},
		Leaves: []client.Ref{{Kind: client.KindMap, Name: "events"}},
	}
}

// tellerRole pays ann 30 as often as there is enough, up to three times.
func tellerRole(ctx context.Context, p stage.Part) error {
	return withBalances(ctx, p, func(ctx context.Context, b *balances) error {
		for range 3 {
			paid, err := b.withdraw(ctx, "ann", 30)
			if err != nil {
				return err
			}
			if !paid {
				p.Say("refuses 30: ann has not that much")
				return nil
			}
			p.Say("pays 30")
		}
		return nil
	})
}

// auditorRole says what ann has after each event.
func auditorRole(ctx context.Context, p stage.Part) error {
	return withBalances(ctx, p, func(ctx context.Context, b *balances) error {
		for at := seq(0); ; at++ {
			if err := b.await(ctx, at); err != nil {
				return err
			}
			var amount int
			at, amount = b.of("ann") // which may be later
			p.Say("after event %d ann has %d", at, amount)
		}
	})
}

// withBalances calls f with balances that are current until it returns.
func withBalances(ctx context.Context, p stage.Part, f func(context.Context, *balances) error) (err error) {
	c, err := client.Dial(ctx, "", client.WithName(p.Name))
	if err != nil {
		return err
	}
	defer c.Close()
	b := newBalances(eventLog{client.NewMap[seq, event](c, p.Object("events"))}, p.Say)
	ctx, stop := context.WithCancelCause(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		stop(b.follow(ctx))
	}()
	defer func() {
		stop(nil)
		<-followed
	}()
	if err := b.await(ctx, 0); err != nil {
		return err
	}
	return f(ctx, b)
}

// story has a deposit, three tellers who all see it, and an auditor who is killed.
func story(ctx context.Context, s *stage.Stage) error {
	if err := withDeposit(ctx, s); err != nil {
		return err
	}
	first, err := s.Start(ctx, "auditor", "auditor")
	if err != nil {
		return err
	}
	if _, err := first.Await(ctx, "after event 1 "); err != nil {
		return err
	}
	var tellers []*stage.Process
	for _, name := range []string{"teller-a", "teller-b", "teller-c"} {
		teller, err := s.Start(ctx, "teller", name)
		if err != nil {
			return err
		}
		tellers = append(tellers, teller)
	}
	if _, err := first.Await(ctx, "after"); err != nil {
		return err
	}
	s.Say("the auditor is killed")
	if err := first.Kill(); err != nil {
		return err
	}
	for _, teller := range tellers {
		if err := teller.Wait(); err != nil {
			return err
		}
	}
	s.Say("another one starts from nothing")
	second, err := s.Start(ctx, "auditor", "auditor-2")
	if err != nil {
		return err
	}
	_, err = second.Await(ctx, "after event 4 ann has 10")
	return err
}

func withDeposit(ctx context.Context, s *stage.Stage) error {
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	log := eventLog{client.NewMap[seq, event](c, s.Object("events"))}
	s.Say("ann brings 100")
	_, err = log.append(ctx, 1, newEvent("ann", 100))
	return err
}

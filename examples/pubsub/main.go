// Pubsub has every subscriber see every message, in the same order.
//
//	go run ./examples/pubsub
//
// Two publishers publish on one topic. Three subscribers hear both; one of them is slow, and
// holds up neither the publishers nor the others. One more comes late and is told the latest
// message first.
//
// What is yours to copy is in topic.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

const (
	messages = 5 // of each publisher
	pace     = 100 * time.Millisecond
)

func main() {
	os.Exit(stage.Run(stage.Play{
		Name:   "pubsub",
		Story:  tell,
		Roles:  map[string]stage.Role{"publisher": publisher, "subscriber": subscriber},
		Leaves: []client.Ref{{Kind: client.KindMap, Name: "topics"}},
	}))
}

func publisher(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name))
	if err != nil {
		return err
	}
	defer c.Close()
	start := time.Now()
	for i := range messages {
		if err := stage.Work(ctx, pace); err != nil {
			return err
		}
		if err := publish(ctx, c, p, "news", fmt.Sprintf("%s-%d", p.Name, i+1)); err != nil {
			return err
		}
	}
	p.Say("has published %d in %v", messages, time.Since(start).Round(time.Millisecond))
	return nil
}

// subscriber takes its time over each message, as long as it is told, and ends with the
// message that says so.
func subscriber(ctx context.Context, p stage.Part) error {
	if len(p.Args) != 1 {
		return errors.New("how slow?")
	}
	slow, err := time.ParseDuration(p.Args[0])
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, "", client.WithName(p.Name))
	if err != nil {
		return err
	}
	defer c.Close()
	var heard []string
	err = subscribe(ctx, c, p, "news", func(ctx context.Context, text string) error {
		if text == end {
			return errEnd
		}
		if heard = append(heard, text); len(heard) == 1 {
			p.Say("listens, and is told %s", text)
		}
		return stage.Work(ctx, slow)
	})
	if errors.Is(err, errEnd) {
		p.Say("has heard %s", strings.Join(heard, " "))
		return nil
	}
	return err
}

const end = "end"

var errEnd = errors.New("the topic has ended")

func tell(ctx context.Context, s *stage.Stage) error {
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := publish(ctx, c, s.Part, "news", "welcome"); err != nil {
		return err
	}
	subscribers, err := cast(ctx, s, "subscriber", "s1", "10ms", "s2", "10ms", "slow", "400ms")
	if err != nil {
		return err
	}
	publishers, err := cast(ctx, s, "publisher", "a", "", "b", "")
	if err != nil {
		return err
	}
	for _, p := range publishers {
		if err := p.Wait(); err != nil {
			return err
		}
	}
	late, err := cast(ctx, s, "subscriber", "late", "10ms")
	if err != nil {
		return err
	}
	if err := publish(ctx, c, s.Part, "news", end); err != nil {
		return err
	}
	for _, p := range append(subscribers, late...) {
		if err := p.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// cast starts processes, by name and argument, and waits for those that listen.
func cast(ctx context.Context, s *stage.Stage, role string, who ...string) (all []*stage.Process, err error) {
	for i := 0; i < len(who); i += 2 {
		p, err := s.Start(ctx, role, who[i], who[i+1])
		if err != nil {
			return nil, err
		}
		if role == "subscriber" {
			if _, err := p.Await(ctx, "listens"); err != nil {
				return nil, err
			}
		}
		all = append(all, p)
	}
	return all, nil
}

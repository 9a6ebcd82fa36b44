package main

import (
	"context"
	"errors"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// Topics are the entries of a map, and a message is a change of its topic's entry. A watch
// tells every change in order, also one that was overwritten since. So
//
//   - a message costs one log entry however many subscribe, and the publisher waits for none
//     of them and need not know them. With a channel for each subscriber it would send as
//     often as there are subscribers, know who has died, and have to choose at each full
//     channel. A Cond's Broadcast would say that there is something, and not what.
//   - a subscriber goes at its own pace, over reconnects and leaders. Its bound is what the cluster remembers, 131,072 changes of all
//     objects with 64 MiB of texts; beyond that it is told that it has missed something.
//   - the latest message stays, for who comes late.
//
// The messages themselves are not kept: what must not be missed by somebody who is away for
// long belongs into a channel, or a log.
func topics(c *client.Client, p stage.Part) *client.Map[string, string] {
	return client.NewMap[string, string](c, p.Object("topics"))
}

// publish returns when the message has its place in the order.
func publish(ctx context.Context, c *client.Client, p stage.Part, topic, text string) error {
	return topics(c, p).StoreContext(ctx, topic, text)
}

// subscribe calls each with the latest message of the topic, if there is one, and every
// later one. It ends with ctx or the error of each.
func subscribe(ctx context.Context, c *client.Client, p stage.Part, topic string, each func(ctx context.Context, text string) error) error {
	for {
		err := follow(ctx, topics(c, p), topic, each)
		if !errors.Is(err, client.ErrSkipped) {
			return err
		}
		p.Say("was too slow, has missed some, and goes on with the latest")
	}
}

// follow is one watch, which goes on by itself over reconnects.
func follow(ctx context.Context, topics *client.Map[string, string], topic string, each func(ctx context.Context, text string) error) error {
	for ev, err := range topics.Watch(ctx, 0) {
		if err != nil {
			return err
		}
		if ev.Type == client.EventStored && ev.Key == topic {
			if err := each(ctx, ev.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Breaker is a circuit breaker that processes share: when it opens in one, none of them
// calls the backend any more, and one alone tries whether it is well again.
//
//	go run ./examples/breaker
//
// Three frontends call a backend, a calls most. The backend fails; a's breaker opens after
// three failures, and b and c, which have seen fewer, open theirs when they see a's. After a
// second one of them probes; when the backend is well again its probe closes all three.
//
// What is yours to copy is in breaker.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

const (
	failures = 3           // in a row open the breaker
	delay    = time.Second // until a probe
	ttl      = 2 * time.Second
)

var errIll = errors.New("the backend is ill")

func main() {
	os.Exit(stage.Run(stage.Play{
		Name:  "breaker",
		Story: tell,
		Roles: map[string]stage.Role{"frontend": frontend},
		Leaves: []client.Ref{
			{Kind: client.KindMap, Name: "breakers"},
			{Kind: client.KindMap, Name: "health"},
		},
	}))
}

// frontend calls every so often, and says when its answers change.
func frontend(ctx context.Context, p stage.Part) error {
	if len(p.Args) != 1 {
		return errors.New("how often?")
	}
	every, err := time.ParseDuration(p.Args[0])
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(ttl))
	if err != nil {
		return err
	}
	defer c.Close()
	b, stop := newBreaker(c, p)
	defer stop()
	p.Say("calls every %v", every)
	tick := time.NewTicker(every)
	defer tick.Stop()
	before := ""
	for {
		answer := "is answered"
		if err := b.do(ctx, func(ctx context.Context) error { return backend(ctx, c, p) }); err != nil {
			answer = "gets: " + err.Error()
		}
		if answer != before && ctx.Err() == nil {
			p.Say("%s", answer)
			before = answer
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// backend stands for a service that is called over a network. How it is is in a map, so
// that the story can make it ill.
func backend(ctx context.Context, c *client.Client, p stage.Part) error {
	ill, _, err := client.NewMap[string, bool](c, p.Object("health")).LoadContext(ctx, "ill")
	if err == nil && ill {
		err = errIll
	}
	return err
}

func tell(ctx context.Context, s *stage.Stage) error {
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	health := client.NewMap[string, bool](c, s.Object("health"))
	var all []*stage.Process
	for _, who := range [][2]string{{"a", "50ms"}, {"b", "400ms"}, {"c", "400ms"}} {
		p, err := s.Start(ctx, "frontend", who[0], who[1])
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	await := func(says string) error {
		for _, p := range all {
			if _, err := p.Await(ctx, says); err != nil {
				return err
			}
		}
		return nil
	}
	if err := await("is answered"); err != nil {
		return err
	}
	s.Say("the backend becomes ill")
	if err := health.StoreContext(ctx, "ill", true); err != nil {
		return err
	}
	if err := await(fmt.Sprintf("gets: %v", circuitbreaker.ErrOpen)); err != nil {
		return err
	}
	s.Say("the backend is well again")
	if err := health.StoreContext(ctx, "ill", false); err != nil {
		return err
	}
	return await("is answered")
}

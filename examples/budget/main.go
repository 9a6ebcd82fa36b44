// Budget passes the time that a caller has left on through three processes, each of which
// spends some of it; what would be late is refused early.
//
//	go run ./examples/budget
//
// A user asks the shop, which asks for the price, which asks for the tax; each works for 150
// ms of its own, and may be kept waiting for 100 ms. With two seconds the answer comes. With
// 700 ms the last step sees that what is left is not enough and refuses; with 300 ms the
// first does. Nobody works for a user who has gone.
//
// What is yours to copy is in step.go.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

const takes = 150 * time.Millisecond

// chain is the steps in order. Each asks the next.
func chain() []step {
	return []step{{"shop", "price", takes}, {"price", "tax", takes}, {"tax", "", takes}}
}

func main() {
	os.Exit(stage.Run(stage.Play{Name: "budget", Story: tell, Roles: map[string]stage.Role{"step": process}}))
}

func process(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name))
	if err != nil {
		return err
	}
	defer c.Close()
	for _, s := range chain() {
		if s.name == p.Name {
			p.Say("serves")
			return s.serve(ctx, c, p, stage.Work)
		}
	}
	return fmt.Errorf("no step is named %s", p.Name)
}

func tell(ctx context.Context, s *stage.Stage) error {
	for _, step := range chain() {
		p, err := s.Start(ctx, "step", step.name)
		if err != nil {
			return err
		}
		if _, err := p.Await(ctx, "serves"); err != nil {
			return err
		}
	}
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, budget := range []time.Duration{2 * time.Second, 700 * time.Millisecond, 300 * time.Millisecond} {
		s.Say("the user has %v", budget)
		start := time.Now()
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, budget)
			defer cancel()
			return ask(ctx, c, s.Part, "shop")
		}()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			s.Say("the answer is there after %v", time.Since(start).Round(10*time.Millisecond))
		} else {
			s.Say("after %v: %v", time.Since(start).Round(10*time.Millisecond), err)
		}
	}
	return nil
}

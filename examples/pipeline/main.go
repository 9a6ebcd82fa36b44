// Pipeline has three stages in three processes, with bounded channels between them.
//
//	go run ./examples/pipeline
//
// The first generates numbers, the second squares them, the last adds them up and is slow.
// Both channels are soon full and hold the fast stages back: the first is never more than
// five numbers ahead of the last. When the first is done it closes its channel, the second
// drains that and closes its own, and so the end goes through from first to last.
//
// What is yours to copy is in stages.go.
package main

import (
	"context"
	"errors"
	"os"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

const (
	count    = 12
	capacity = 2 // of each channel
	takes    = 200 * time.Millisecond
)

func main() {
	os.Exit(stage.Run(stage.Play{
		Name:  "pipeline",
		Story: tell,
		Roles: map[string]stage.Role{
			"generate": process(func(ctx context.Context, c *client.Client, p stage.Part) error { return generate(ctx, c, p, count) }),
			"square":   process(square),
			"add":      process(addSlowly),
		},
		Leaves: []client.Ref{
			{Kind: client.KindChan, Name: "numbers"},
			{Kind: client.KindChan, Name: "squares"},
		},
	}))
}

// process is a stage as a process.
func process(run func(context.Context, *client.Client, stage.Part) error) stage.Role {
	return func(ctx context.Context, p stage.Part) error {
		c, err := client.Dial(ctx, "", client.WithName(p.Name))
		if err != nil {
			return err
		}
		defer c.Close()
		return run(ctx, c, p)
	}
}

func addSlowly(ctx context.Context, c *client.Client, p stage.Part) error {
	total, err := add(ctx, c, p, func(ctx context.Context, e element) error {
		p.Say("got %d", e.Value)
		return stage.Work(ctx, takes)
	})
	if err == nil {
		p.Say("the sum is %d", total)
	}
	return err
}

func tell(ctx context.Context, s *stage.Stage) error {
	var all []*stage.Process
	for _, name := range []string{"add", "square", "generate"} {
		p, err := s.Start(ctx, name, name)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	var errs []error
	for _, p := range all {
		errs = append(errs, p.Wait())
	}
	return errors.Join(errs...)
}

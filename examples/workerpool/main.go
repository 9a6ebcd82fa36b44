// Workerpool has the jobs of one channel done by several processes, one of which dies.
//
//	go run ./examples/workerpool
//
// Three workers receive from one channel, each job with acknowledgement. Worker w2 is killed
// (SIGKILL) in the middle of a job. When its lease of 3 s is over the job is at the head of
// the channel again, and one of the others does it. The channel is closed when all jobs are
// in it, and a worker ends when nothing is left that could come back.
//
// What is yours to copy is in worker.go.
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
	jobs     = 12
	capacity = 4 // the feeder waits when so many are not acknowledged
	ttl      = 3 * time.Second
	takes    = 300 * time.Millisecond
)

func main() {
	os.Exit(stage.Run(stage.Play{
		Name:  "workerpool",
		Story: tell,
		Roles: map[string]stage.Role{"worker": hire},
		Leaves: []client.Ref{
			{Kind: client.KindChan, Name: "jobs"},
			{Kind: client.KindMap, Name: "done"},
		},
	}))
}

// hire is the process of a worker.
func hire(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(ttl))
	if err != nil {
		return err
	}
	defer c.Close()
	p.Say("looks for work")
	return work(ctx, c, p, func(ctx context.Context, _ job) error {
		return stage.Work(ctx, takes)
	})
}

func tell(ctx context.Context, s *stage.Stage) error {
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var workers []*stage.Process
	for _, name := range []string{"w1", "w2", "w3"} {
		w, err := s.Start(ctx, "worker", name)
		if err != nil {
			return err
		}
		if _, err := w.Await(ctx, "looks"); err != nil {
			return err
		}
		workers = append(workers, w)
	}
	fed := make(chan error, 1)
	go func() { fed <- feed(ctx, c, s.Part, jobs) }()

	if _, err := workers[1].Await(ctx, "begins"); err != nil {
		return errors.Join(err, <-fed)
	}
	if err := workers[1].Kill(); err != nil {
		return err
	}
	s.Say("w2 is killed in the middle of its job; its lease of %v runs out", ttl)
	if err := errors.Join(<-fed, workers[0].Wait(), workers[2].Wait()); err != nil {
		return err
	}
	return sum(ctx, c, s.Part)
}

// sum says who did what.
func sum(ctx context.Context, c *client.Client, p stage.Part) error {
	by := make(map[string]int)
	done := 0
	for e, err := range client.NewMap[int, string](c, p.Object("done")).All(ctx) {
		if err != nil {
			return err
		}
		by[e.Value]++
		done++
	}
	left, err := client.NewChan[job](c, p.Object("jobs"), client.AnyCapacity).LenContext(ctx)
	if err != nil {
		return err
	}
	if done != jobs || left != 0 {
		return fmt.Errorf("%d of %d jobs are done and %d are left", done, jobs, left)
	}
	p.Say("all %d jobs are done, each acknowledged once: w1 did %d, w2 %d, w3 %d", done, by["w1"], by["w2"], by["w3"])
	return nil
}

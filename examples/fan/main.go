// Fan spreads work over several processes, takes their results in by Select, and puts them
// back into order.
//
//	go run ./examples/fan
//
// Each of three workers has a channel of its own for its results. They are of different
// speed, so results come in any order. Each is held back until those before it are there,
// and no more is given out than 8 ahead of the first that is missing, so that one slow
// result cannot have the others pile up.
//
// What is yours to copy is in fan.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

const (
	count  = 12
	window = 8 // of what is under way
)

func main() {
	os.Exit(stage.Run(stage.Play{
		Name:   "fan",
		Story:  tell,
		Roles:  map[string]stage.Role{"worker": hire},
		Leaves: []client.Ref{{Kind: client.KindChan, Name: "work"}},
	}))
}

// hire is the process of a worker, as slow as it is told.
func hire(ctx context.Context, p stage.Part) error {
	if len(p.Args) != 1 {
		return errors.New("how slow?")
	}
	slow, err := time.ParseDuration(p.Args[0])
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(2*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	return work(ctx, c, p, func(ctx context.Context, n int) (string, error) {
		if err := stage.Work(ctx, slow); err != nil {
			return "", err
		}
		p.Say("did %d", n)
		return strconv.Itoa(n * n), nil
	})
}

func tell(ctx context.Context, s *stage.Stage) error {
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var names []string
	var workers []*stage.Process
	for i, slow := range []string{"100ms", "250ms", "600ms"} {
		name := fmt.Sprint("w", i+1)
		w, err := s.Start(ctx, "worker", name, slow)
		if err != nil {
			return err
		}
		names, workers = append(names, name), append(workers, w)
	}
	err = fan(ctx, c, s.Part, names, count, func(r result) {
		s.Say("%d squared is %s, says %s", r.N, r.Text, r.By)
	})
	for _, w := range workers {
		if err != nil {
			break
		}
		err = w.Wait()
	}
	return err
}

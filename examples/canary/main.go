// Canary brings a new version to a little of the traffic, then to more, and takes it back
// when its errors rise.
//
//	go run ./examples/canary
//
// How much of the traffic goes to which version is an entry of a map on the cluster, which
// every replica follows. The replicas count how the new version does; one of the operators
// leads, looks at the counts, and raises the part or sets it to nothing. What it goes by is
// all on the cluster, so that the operator that follows on one which was killed goes on from
// where that was. A replica that is cut off, and would not hear that the version was taken
// back, serves the old one.
//
// What is yours to copy is in operator.go and replica.go.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// lease is short, so that the story need not wait long after a death.
const lease = 3 * time.Second

func main() { os.Exit(stage.Run(play())) }

func play() stage.Play {
	return stage.Play{
		Name:  "canary",
		Story: story,
		Roles: map[string]stage.Role{"replica": replicaRole, "operator": operatorRole},
		Leaves: []client.Ref{
			{Kind: client.KindMap, Name: "rollouts"},
			{Kind: client.KindMap, Name: "counts"},
		},
	}
}

func operatorRole(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(lease))
	if err != nil {
		return err
	}
	defer c.Close()
	return newOperator(c, p).run(ctx)
}

// replicaRole serves a thousand users in turn. Version v3 is one that does not bear more than
// a little.
func replicaRole(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name), client.WithTTL(lease))
	if err != nil {
		return err
	}
	defer c.Close()
	calls := 0
	r := newReplica(c, p, func(to rollout) error {
		if calls++; to.Version == "v3" && to.percent() > 5 && calls%5 == 0 {
			return fmt.Errorf("%s is overloaded", to.Version)
		}
		return nil
	})
	stop := r.start(ctx)
	defer stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for user := 0; ; user++ {
		select {
		case <-tick.C:
			r.serve("user " + strconv.Itoa(user%1000))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// story has a version that is good, whose operator is killed, and one that is not.
func story(ctx context.Context, s *stage.Stage) error {
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, name := range []string{"replica-a", "replica-b", "replica-c"} {
		if _, err := s.Start(ctx, "replica", name); err != nil {
			return err
		}
	}
	first, err := s.Start(ctx, "operator", "operator-a")
	if err != nil {
		return err
	}
	if _, err := first.Await(ctx, "leads"); err != nil {
		return err
	}
	second, err := s.Start(ctx, "operator", "operator-b")
	if err != nil {
		return err
	}
	rollouts := newOperator(c, s.Part).rollouts
	s.Say("v2 is there")
	if err := rollouts.StoreContext(ctx, service, rollout{Version: "v2"}); err != nil {
		return err
	}
	if _, err := first.Await(ctx, "v2: 25%"); err != nil {
		return err
	}
	s.Say("operator-a is killed; operator-b leads when its lease is over")
	if err := first.Kill(); err != nil {
		return err
	}
	if _, err := second.Await(ctx, "v2: complete"); err != nil {
		return err
	}
	s.Say("v3 is there")
	if err := rollouts.StoreContext(ctx, service, rollout{Version: "v3"}); err != nil {
		return err
	}
	_, err = second.Await(ctx, "v3: taken back")
	return err
}

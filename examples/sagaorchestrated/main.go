// Sagaorchestrated is an order over three services, with an orchestrator that can be killed.
//
//	go run ./examples/sagaorchestrated
//
// An order is accepted, paid for, and taken from stock, by a service each. What a service
// has done no transaction takes back: if a later one refuses, the orchestrator has the
// earlier ones undo it, in reverse. How far an order has come is in a map on the cluster,
// and of two orchestrators one leads; when it is killed in the middle the other goes on
// from the map. Nothing is done twice and nothing forgotten.
//
// With OTEL_EXPORTER_OTLP_ENDPOINT set each order is one trace, over all the processes that
// had to do with it and the nodes of the cluster.
//
// What is yours to copy is in orchestrator.go, service.go and trace.go.
package main

import (
	"context"
	"os"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

func main() { os.Exit(stage.Run(play())) }

func play() stage.Play {
	p := stage.Play{
		Name:  "sagaorchestrated",
		Story: story,
		Roles: map[string]stage.Role{
			"customer":     traced(customerRole),
			"orchestrator": traced(orchestratorRole),
		},
		Leaves: []client.Ref{{Kind: client.KindMap, Name: "sagas"}},
	}
	for name := range services() {
		p.Roles[name] = traced(serviceRole)
		p.Leaves = append(p.Leaves, client.Ref{Kind: client.KindMap, Name: name + "/done"})
	}
	return p
}

// story has three orders: one that goes well, one of which stock has not enough, and one in
// the middle of which the orchestrator is killed.
func story(ctx context.Context, s *stage.Stage) error {
	for name := range services() {
		if _, err := s.Start(ctx, name, name); err != nil {
			return err
		}
	}
	leader, err := s.Start(ctx, "orchestrator", "orchestrator-a")
	if err != nil {
		return err
	}
	if _, err := leader.Await(ctx, "leads"); err != nil {
		return err
	}
	if _, err := s.Start(ctx, "orchestrator", "orchestrator-b"); err != nil {
		return err
	}
	for _, o := range [][2]string{{"ann", "2 lamps"}, {"bob", "9 lamps"}} {
		customer, err := s.Start(ctx, "customer", o[0], o[1])
		if err != nil {
			return err
		}
		if err := customer.Wait(); err != nil {
			return err
		}
	}
	eve, err := s.Start(ctx, "customer", "eve", "3 lamps")
	if err != nil {
		return err
	}
	if _, err := leader.Await(ctx, "order of eve: asks payment to charge"); err != nil {
		return err
	}
	s.Say("orchestrator-a is killed; orchestrator-b leads when its lease is over")
	if err := leader.Kill(); err != nil {
		return err
	}
	return eve.Wait()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// customerRole orders what its argument says: "2 lamps".
func customerRole(ctx context.Context, p stage.Part) error {
	var o order
	if _, err := fmt.Sscanf(strings.Join(p.Args, " "), "%d %s", &o.Count, &o.Item); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	c, err := client.Dial(ctx, "", client.WithName(p.Name))
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = place(ctx, c, p, o)
	return err
}

// place places an order under the part's name and waits for its end. Then the saga's entry
// is deleted: a map is small.
func place(ctx context.Context, c *client.Client, p stage.Part, o order) (saga, error) {
	ctx, span := otel.Tracer("sagaorchestrated").Start(ctx, "order")
	defer span.End()
	sagas := client.NewMap[string, saga](c, p.Object("sagas"))
	p.Say("orders %d %s", o.Count, o.Item)
	_, loaded, err := sagas.LoadOrStoreContext(ctx, p.Name, saga{Order: o, State: doing, Trace: traceOf(ctx)})
	if err == nil && loaded {
		err = errors.New("there is one of that name: wait for its end")
	}
	if err != nil {
		return saga{}, fmt.Errorf("place order: %w", err)
	}
	end, err := ended(ctx, sagas, p.Name)
	if err != nil {
		return saga{}, fmt.Errorf("await order: %w", err)
	}
	p.Say("the order is %s", end)
	return end, sagas.DeleteContext(ctx, p.Name)
}

// ended returns a saga when it is over.
func ended(ctx context.Context, sagas *client.Map[string, saga], id string) (saga, error) {
	for {
		for e, err := range sagas.Watch(ctx, 0) {
			switch {
			case errors.Is(err, client.ErrSkipped): // start afresh
			case err != nil:
				return saga{}, err
			case e.Type == client.EventStored && e.Key == id && e.Value.over():
				return e.Value, nil
			}
		}
	}
}

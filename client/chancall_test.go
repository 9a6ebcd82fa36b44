package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coordd.dev/client"
)

// begin makes the call that an event is.
func (w *channelWorld) begin(e event) {
	switch e.do {
	case "ask":
		w.note(e.ask)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // or a try has a second
		w.cancel[e.id] = cancel
		w.calls.Go(func() {
			o, d, err := w.call(ctx, e.ask)
			w.hear(e.id, o, d, err)
		})
	case "cancel":
		w.cancel[e.target]()
	case "close":
		ch := w.chans[e.target][e.id%clientsOfChannels]
		w.calls.Go(func() { w.hear(e.id, outcome{how: got}, nil, ch.CloseContext(context.Background())) })
	case "ack", "nack":
		w.mu.Lock()
		d := w.deliveries[e.target]
		delete(w.deliveries, e.target)
		w.mu.Unlock()
		settle := d.Nack
		if e.do == "ack" {
			settle = d.Ack
		}
		w.calls.Go(func() { w.hear(e.id, outcome{how: got}, nil, settle(context.Background())) })
	}
}

func (w *channelWorld) note(a ask) {
	switch {
	case len(a.arms) > 1:
		w.seen["selected"]++
	case a.priority > 0:
		w.seen["sent with priority"]++
	case w.mayBe[0].all[a.arms[0].on].capacity == 0:
		w.seen["rendezvous"]++
	}
}

// hear notes what a call was told.
func (w *channelWorld) hear(id int, o outcome, d *client.Delivery[int], err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
	case errors.Is(err, client.ErrUnknown):
		w.faults = append(w.faults, fmt.Sprintf("call %d: %v", id, err))
	case errors.Is(err, client.ErrClosed):
		o = outcome{how: ended, arm: o.arm}
	case errors.Is(err, client.ErrBusy):
		o = outcome{how: busy}
	case errors.Is(err, context.Canceled):
		o = outcome{how: cancelled}
	case errors.Is(err, client.ErrReleased):
		o = outcome{how: released}
	default:
		w.faults = append(w.faults, fmt.Sprintf("call %d: %v", id, err))
	}
	w.told[id] = o
	if d != nil {
		w.deliveries[id] = d
	}
}

// call makes one that may wait, by the method that there is for it.
func (w *channelWorld) call(ctx context.Context, a ask) (outcome, *client.Delivery[int], error) {
	arm := a.arms[0]
	ch := w.chans[arm.on][a.client]
	switch {
	case len(a.arms) > 1 || a.try && arm.ack:
		return w.choose(ctx, a)
	case arm.send && a.try:
		return outcome{how: got}, nil, ch.TrySendContext(ctx, arm.value)
	case arm.send:
		return outcome{how: got}, nil, ch.SendPriority(ctx, arm.value, a.priority)
	case arm.ack:
		d, err := ch.RecvAck(ctx)
		if err != nil {
			return outcome{}, nil, err
		}
		return outcome{how: got, value: d.Value, attempt: d.Attempt}, d, nil
	}
	recv := ch.RecvContext
	if a.try {
		recv = ch.TryRecvContext
	}
	v, ok, err := recv(ctx)
	return received(0, v, ok), nil, err
}

func received(arm, value int, ok bool) outcome {
	if !ok {
		return outcome{how: ended, arm: arm}
	}
	return outcome{how: got, arm: arm, value: value}
}

func (w *channelWorld) choose(ctx context.Context, a ask) (outcome, *client.Delivery[int], error) {
	var cases []client.Case
	for _, arm := range a.arms {
		ch := w.chans[arm.on][a.client]
		switch {
		case arm.send:
			cases = append(cases, ch.OnSend(arm.value))
		case arm.ack:
			cases = append(cases, ch.OnRecvAck())
		default:
			cases = append(cases, ch.OnRecv())
		}
	}
	of := cases
	if a.try {
		of = append(slices.Clone(cases), client.Default())
	}
	sel := client.Select
	if a.ordered {
		sel = client.SelectOrdered
	}
	chosen, err := sel(ctx, of...)
	i := slices.Index(cases, chosen)
	switch c := chosen.(type) {
	case *client.RecvCase[int]:
		return received(i, c.Value, c.OK), nil, err
	case *client.DeliveryCase[int]:
		if c.Delivery == nil {
			return outcome{how: ended, arm: i}, nil, err
		}
		return outcome{how: got, arm: i, value: c.Delivery.Value, attempt: c.Delivery.Attempt}, c.Delivery, err
	case *client.DoneCase:
		return outcome{how: busy}, nil, err
	default:
		return outcome{how: got, arm: i}, nil, err
	}
}

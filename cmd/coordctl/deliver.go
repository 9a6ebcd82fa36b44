package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"coordd.dev/client"
)

// Between tries of a worker whose command fails again and again: the element that it gave back
// is likely the one that comes next.
const (
	restFirst = 100 * time.Millisecond
	restMost  = 10 * time.Second
)

// unreadLimit is how long a child's element is kept for whoever it left behind.
const unreadLimit = time.Second

// errDrained says that nothing comes any more.
var errDrained = errors.New("it is closed, and all that was in it is acknowledged")

// A received is the holding of recv --ack: an element that is to be acknowledged.
type received struct{ *client.Delivery[[]byte] }

func (r received) Unlock(ctx context.Context) error { return r.Nack(ctx) }

// feed gives the command its element: on stdin, and in the environment if that can have it.
func (r received) feed(cmd *exec.Cmd) {
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(r.Value), unreadLimit
	cmd.Env = append(cmd.Env, envAttempt+"="+strconv.Itoa(r.Attempt))
	if !bytes.ContainsRune(r.Value, 0) {
		cmd.Env = append(cmd.Env, envElement+"="+string(r.Value))
	}
}

// receive takes an element, which is held until it is acknowledged.
func (t *attempt) receive(ctx context.Context, c *client.Client) (holding, error) {
	ch := client.NewChan[[]byte](c, t.want.name, int(t.want.limit), client.WithCodec(t.want.codec))
	element := ch.OnRecvAck()
	cases := []client.Case{element}
	if t.try {
		cases = append(cases, client.Default())
	}
	got, err := client.Select(ctx, cases...)
	switch {
	case err != nil:
		return nil, err
	case got != client.Case(element):
		return nil, &client.BusyError{Kind: client.KindChan, Name: t.want.name}
	case element.Delivery == nil:
		return nil, errDrained
	}
	return received{element.Delivery}, nil
}

// work runs the command for one element, or with --follow for one after another.
func (t *attempt) work(ctx context.Context, cmd *exec.Cmd) error {
	var c *client.Client
	var hold holding // to be given back at the end
	defer func() {
		if c != nil {
			t.end(ctx, c, hold)
		}
	}()
	for rest := restFirst; ; {
		var err error
		c, hold, err = t.acquire(ctx, c)
		d, ok := hold.(received)
		switch {
		case errors.Is(err, errDrained) && t.follow:
			return nil
		case errors.Is(err, errDrained):
			return t.failed("nothing received: "+err.Error(), "", t.code)
		case err != nil || !ok:
			return err
		}
		child, err := t.under(c, d, cmd)
		if err == nil {
			hold, rest = nil, restFirst
			err = t.acknowledge(ctx, d)
		}
		failed, own := errors.AsType[exitCode](err)
		switch {
		case !t.follow, err != nil && !own, child.told:
			return err
		case own:
			t.say("%s: %s exited %d in attempt %d; the element is given back", t.title(), show(t.argv[0]), int(failed), d.Attempt)
			if err := t.giveBack(ctx, d, rest); err != nil {
				return err
			}
			hold, rest = nil, min(2*rest, restMost)
		}
		var fail *failure
		if cmd, fail = t.prepare(t.argv); fail != nil {
			return fail
		}
	}
}

// acknowledge says that the element is done with.
func (t *attempt) acknowledge(ctx context.Context, d received) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.patience(dialLimit))
	defer cancel()
	err := d.Ack(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.ErrUnknown):
		return t.failed(show(t.argv[0])+" succeeded, and the cluster has not confirmed the acknowledgement", "the element may come again", exitCoordctl)
	}
	return t.failed(show(t.argv[0])+" succeeded, and the element was lost before it was acknowledged", "it will come again", exitLost)
}

// giveBack has the element come again, to whoever is first, and rests.
func (t *attempt) giveBack(ctx context.Context, d received, rest time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rest)
	defer cancel()
	_ = d.Nack(ctx) // it goes on by itself
	select {
	case sig := <-t.signals:
		if s, ok := sig.(syscall.Signal); ok {
			return exitCode(exitSignal + int(s))
		}
	case <-ctx.Done():
	}
	return nil
}

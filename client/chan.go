package client

import (
	"context"
	"errors"
	"fmt"
	"iter"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// AnyCapacity leaves the capacity to whoever makes the channel; until then an
// operation waits.
const AnyCapacity = -1

// A Chan is a Go channel across processes: FIFO, capacity 0 is a rendezvous, a full
// one blocks its senders. Its methods without ctx are reflect.Value's: they block,
// and panic where Go's operators do.
//
// Elements in the buffer belong to the channel and outlive their sender. A receive
// takes its element when the cluster commits it; if the receiver dies then, it is
// gone: that is at most once, and [Chan.RecvAck] is at least once. A closed channel
// stays closed until [Client.Delete]; an open one that is empty and that nobody waits on
// is forgotten, capacity and all.
//
// An element is at most 64 KiB as the codec has it ([WithCodec]); a channel's are at most
// 64 MiB, beyond which it is full.
type Chan[T any] struct {
	_ noCopy
	channel
}

// A channel is a Chan without the type of its elements.
type channel struct {
	courier  *courier
	ref      Ref
	capacity int
	cfg      handleConfig
	codec    Codec
}

// NewChan returns a handle; capacity is 0 to 65,536, the same everywhere
// ([ErrMismatch]), or [AnyCapacity].
func NewChan[T any](c *Client, name string, capacity int, opts ...HandleOption) *Chan[T] {
	cfg := handleOptions(opts)
	return &Chan[T]{channel: channel{
		courier: c.courier, ref: Ref{Kind: KindChan, Name: name}, capacity: capacity, cfg: cfg, codec: cfg.coder(),
	}}
}

// Send is ch <- v. It panics if ch is closed.
func (ch *Chan[T]) Send(v T) {
	ch.courier.forever(ch.ref, func(ctx context.Context) error { return ch.SendContext(ctx, v) })
}

// TrySend reports whether v could be sent at once. No answer within a second is false, unless
// the outcome is unknown: then it panics with [ErrUnknown].
func (ch *Chan[T]) TrySend(v T) bool { return tried(ch.TrySendContext(context.Background(), v)) }

// Recv is v, ok := <-ch.
func (ch *Chan[T]) Recv() (v T, ok bool) {
	ch.courier.forever(ch.ref, func(ctx context.Context) (err error) {
		v, ok, err = ch.RecvContext(ctx)
		return err
	})
	return v, ok
}

// TryRecv is Recv of what is there at once; false says that ch is closed and drained, or that
// it would wait.
func (ch *Chan[T]) TryRecv() (v T, ok bool) {
	v, ok, err := ch.TryRecvContext(context.Background())
	return v, tried(err) && ok
}

// Close is close(ch): who waits to send panics or has [ErrClosed], and who receives drains ch.
// It panics if ch is closed.
func (ch *Chan[T]) Close() { ch.courier.forever(ch.ref, ch.CloseContext) }

// Len is how many elements there are, unacknowledged ones included.
func (ch *Chan[T]) Len() (n int) {
	ch.courier.forever(ch.ref, func(ctx context.Context) (err error) {
		n, err = ch.LenContext(ctx)
		return err
	})
	return n
}

// Cap is the capacity: of a handle with [AnyCapacity] the channel's, 0 if there is none yet.
func (ch *Chan[T]) Cap() (n int) {
	if ch.capacity != AnyCapacity {
		return ch.capacity
	}
	ch.courier.forever(ch.ref, func(ctx context.Context) error {
		d, err := ch.describe(ctx, "read the capacity of ")
		n = int(d.GetLimit())
		return err
	})
	return n
}

// SendContext returns when the element is in the buffer, or with a receiver; exactly
// once, whatever was retried. If ctx ends too late to stop the send, it returns no error.
func (ch *Chan[T]) SendContext(ctx context.Context, v T) error { return ch.send(ctx, v, 0, false) }

// TrySendContext returns a *BusyError if nobody receives and the buffer is full.
func (ch *Chan[T]) TrySendContext(ctx context.Context, v T) error { return ch.send(ctx, v, 0, true) }

// SendPriority overtakes elements of lower priority; Send's is 0.
func (ch *Chan[T]) SendPriority(ctx context.Context, v T, priority int) error {
	return ch.send(ctx, v, priority, false)
}

func (ch *Chan[T]) send(ctx context.Context, v T, priority int, try bool) error {
	h := ch.cfg
	h.priority = priority
	_, err := selectOne(ctx, selection{try: try}, &SendCase[T]{Value: v, channel: &ch.channel, cfg: h})
	return err
}

// RecvContext returns ok false when ch is closed and drained. If ctx ends too late to
// stop the receive, it returns the element and no error.
func (ch *Chan[T]) RecvContext(ctx context.Context) (v T, ok bool, err error) {
	return ch.recv(ctx, false)
}

// TryRecvContext returns a *BusyError if nothing is there and nobody sends.
func (ch *Chan[T]) TryRecvContext(ctx context.Context) (v T, ok bool, err error) {
	return ch.recv(ctx, true)
}

func (ch *Chan[T]) recv(ctx context.Context, try bool) (v T, ok bool, err error) {
	c := ch.OnRecv()
	_, err = selectOne(ctx, selection{try: try}, c)
	return c.Value, c.OK, err
}

// CloseContext is Close with a ctx; [ErrClosed] if ch is closed.
func (ch *Chan[T]) CloseContext(ctx context.Context) error {
	op := "close " + ch.ref.String()
	if err := ch.fault(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	_, err := ch.courier.ask(ctx, op, lessee.ClassChange, &coordv1.Op{Op: &coordv1.Op_CloseChannel{
		CloseChannel: &coordv1.CloseChannel{Name: ch.ref.Name, Capacity: int64(ch.capacity), Codec: ch.codec.Name()},
	}})
	return err
}

// LenContext is Len with a ctx.
func (ch *Chan[T]) LenContext(ctx context.Context) (int, error) {
	d, err := ch.describe(ctx, "read the length of ")
	return int(d.GetHeld()), err
}

// All receives until ch is closed and drained. It takes one at a time: a break loses
// nothing. An error is the last pair.
func (ch *Chan[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, ok, err := ch.RecvContext(ctx)
			if err == nil && !ok || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// describe reads a channel; one that is not there has nothing in it.
func (ch *channel) describe(ctx context.Context, what string) (*coordv1.Description, error) {
	d, err := ch.courier.describe(ctx, what+ch.ref.String(), ch.ref.Kind, ch.ref.Name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil //nolint:nilnil // a nil message reads as an empty one
	}
	return d, err
}

// fault is what is wrong with a channel's name, capacity or codec.
func (ch *channel) fault() error {
	err := checkName(ch.ref.Name)
	if ch.capacity < AnyCapacity || ch.capacity > maxCapacity {
		err = errors.Join(err, fmt.Errorf("%w: capacity %d is not within 0 to %d", ErrInvalid, ch.capacity, maxCapacity))
	}
	return errors.Join(err, checkCodec(ch.codec))
}

// want is what an arm of the channel is for; a is completed.
func (ch *channel) want(a *coordv1.Arm, cfg handleConfig) *want {
	a.Kind, a.Name = coordv1.Kind_KIND_CHAN, ch.ref.Name
	a.Limit, a.Codec = int64(ch.capacity), ch.codec.Name()
	w := newWant(ch.ref, []*coordv1.Arm{a}, cfg)
	w.wait.Priority = int32(cfg.priority) //nolint:gosec // a fault if it is more
	if w.fault == nil {
		w.fault = ch.fault()
	}
	if a.GetAcknowledge() && ch.capacity == 0 {
		w.fault = errors.Join(w.fault, fmt.Errorf("%w: to receive with acknowledgement takes a capacity of 1 or more", ErrInvalid))
	}
	return w
}

package client

import (
	"context"
	"fmt"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

// A RecvCase receives; its fields are set when it was chosen.
type RecvCase[T any] struct {
	Value T
	OK    bool // false: the channel is closed and drained

	channel *channel
}

// A DeliveryCase receives with acknowledgement. Delivery is nil if the channel is closed,
// drained, and nothing can come back.
type DeliveryCase[T any] struct {
	Delivery *Delivery[T]

	channel *channel
}

// A SendCase sends Value.
type SendCase[T any] struct {
	Value T

	channel *channel
	cfg     handleConfig
}

// A HoldCase locks or acquires.
type HoldCase struct {
	Hold *Hold

	courier *courier
	want    *want
}

// A LeaderCase campaigns.
type LeaderCase struct {
	Leadership *Leadership

	election *Election
	want     *want
}

// A DoneCase is an event without a value: a wait group at zero (Err may be
// [ErrCutShort]), a once done, a timer, the default.
type DoneCase struct {
	Err error

	is *arm
}

// OnRecv is the case of a receive.
func (ch *Chan[T]) OnRecv() *RecvCase[T] { return &RecvCase[T]{channel: &ch.channel} }

// OnRecvAck is the case of a receive with acknowledgement.
func (ch *Chan[T]) OnRecvAck() *DeliveryCase[T] { return &DeliveryCase[T]{channel: &ch.channel} }

// OnSend is the case of a send; Value may be set anew before each Select.
func (ch *Chan[T]) OnSend(v T) *SendCase[T] {
	return &SendCase[T]{Value: v, channel: &ch.channel, cfg: ch.cfg}
}

// OnLock is the case of Lock.
func (m *Mutex) OnLock() *HoldCase { return &HoldCase{courier: m.kept.courier, want: m.kept.write} }

// OnLock is the case of Lock.
func (rw *RWMutex) OnLock() *HoldCase {
	return &HoldCase{courier: rw.kept.courier, want: rw.kept.write}
}

// OnRLock is the case of RLock.
func (rw *RWMutex) OnRLock() *HoldCase {
	return &HoldCase{courier: rw.kept.courier, want: rw.kept.read}
}

// OnAcquire is the case of AcquireHold.
func (s *Semaphore) OnAcquire(n int64) *HoldCase {
	return &HoldCase{courier: s.courier, want: s.want(n)}
}

// OnCampaign is the case of Campaign.
func (e *Election) OnCampaign(value string) *LeaderCase {
	return &LeaderCase{election: e, want: e.want(value)}
}

// OnDone is the case of Wait.
func (wg *WaitGroup) OnDone() *DoneCase { return &DoneCase{is: wg.arm()} }

// OnDone is chosen once the function has returned, whoever called it. It never calls it.
func (o *Once) OnDone() *DoneCase { return &DoneCase{is: o.arm(coordv1.Side_SIDE_RECEIVE)} }

// After is chosen d after Select was called. It is local: no timer in the cluster.
func After(d time.Duration) *DoneCase {
	return &DoneCase{is: &arm{local: localTimer, after: d}}
}

// Default is chosen if nothing else is ready at once.
func Default() *DoneCase { return &DoneCase{is: &arm{local: localDefault}} }

func (c *RecvCase[T]) arm() *arm {
	return &arm{
		courier: c.channel.courier, takes: true,
		want: c.channel.want(&coordv1.Arm{Side: coordv1.Side_SIDE_RECEIVE}, c.channel.cfg),
		chosen: func(o *coordv1.Outcome, _ *Hold) (err error) {
			var none T
			c.Value, c.OK = none, false
			if o.GetCode() == coordv1.Code_CODE_CLOSED {
				return nil
			}
			c.OK = true
			if c.Value, err = decode[T](c.channel.codec, o.GetData()); err != nil {
				return fmt.Errorf("%s: an element is lost: %w", c.channel.ref, err)
			}
			return nil
		},
	}
}

func (c *DeliveryCase[T]) arm() *arm {
	return &arm{
		courier: c.channel.courier,
		want:    c.channel.want(&coordv1.Arm{Side: coordv1.Side_SIDE_RECEIVE, Acknowledge: true}, c.channel.cfg),
		chosen: func(o *coordv1.Outcome, h *Hold) error {
			c.Delivery = nil
			if o.GetCode() == coordv1.Code_CODE_CLOSED {
				return nil
			}
			v, err := decode[T](c.channel.codec, o.GetData())
			if err != nil {
				h.courier.release(h)
				return fmt.Errorf("%s: an element is given back: %w", c.channel.ref, err)
			}
			c.Delivery = &Delivery[T]{Value: v, Attempt: int(o.GetValue()), hold: h}
			return nil
		},
	}
}

func (c *SendCase[T]) arm() *arm {
	element, err := encode(c.channel.codec, c.Value)
	a := &arm{
		courier: c.channel.courier, takes: true,
		want: c.channel.want(&coordv1.Arm{Side: coordv1.Side_SIDE_SEND, Element: element}, c.cfg),
		chosen: func(o *coordv1.Outcome, _ *Hold) error {
			if o.GetCode() == coordv1.Code_CODE_CLOSED {
				return fmt.Errorf("send on %s: %w", c.channel.ref, ErrClosed)
			}
			return nil
		},
	}
	if err != nil {
		a.want.fault = err
	}
	return a
}

func (c *HoldCase) arm() *arm {
	return &arm{courier: c.courier, want: c.want, chosen: func(_ *coordv1.Outcome, h *Hold) error {
		c.Hold = h
		return nil
	}}
}

func (c *LeaderCase) arm() *arm {
	return &arm{courier: c.election.courier, want: c.want, chosen: func(_ *coordv1.Outcome, h *Hold) error {
		c.election.won(h)
		c.Leadership = &Leadership{hold: h}
		return nil
	}}
}

func (c *DoneCase) arm() *arm {
	a := *c.is
	a.chosen = func(o *coordv1.Outcome, h *Hold) error {
		c.Err = nil
		if o.GetCode() == coordv1.Code_CODE_CUT_SHORT {
			c.Err = fmt.Errorf("%s: %w", a.want.ref, ErrCutShort)
		}
		return nil
	}
	return &a
}

// waitDone waits for one event.
func waitDone(ctx context.Context, c *DoneCase) error {
	if _, err := selectOne(ctx, selection{}, c); err != nil {
		return err
	}
	return c.Err
}

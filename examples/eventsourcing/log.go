package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"

	"coordd.dev/client"
)

// A seq numbers an event, from 1. As a key it has zeros before it, so that a map has the
// events in their order.
type seq uint64

// MarshalText is of encoding.TextMarshaler.
func (n seq) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%010d", uint64(n)), nil } //nolint:unparam // of encoding.TextMarshaler

// UnmarshalText is of encoding.TextUnmarshaler.
func (n *seq) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 10, 64)
	*n = seq(v)
	return err
}

// An event is what has happened. It is never changed.
type event struct {
	ID      string `json:"id"` // unlike any other's
	Account string `json:"account"`
	Amount  int    `json:"amount"` // negative of a withdrawal
}

func newEvent(account string, amount int) event {
	return event{ID: rand.Text(), Account: account, Amount: amount}
}

// An eventLog has all events. They are only ever added.
type eventLog struct{ events *client.Map[seq, event] }

// append adds e as event n, and reports whether that was to be had: if not, there is an
// event n that whoever decided on e has not seen. To ask again is harmless, for instance
// after [client.ErrUnknown]: e is there once.
func (l eventLog) append(ctx context.Context, n seq, e event) (bool, error) {
	is, _, err := l.events.LoadOrStoreContext(ctx, n, e)
	if err != nil {
		return false, fmt.Errorf("append event %d: %w", n, err)
	}
	return is.ID == e.ID, nil
}

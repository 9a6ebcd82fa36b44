package machine_test

import (
	"fmt"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What traces know of channels.

// channel parses NAME, of any capacity, or NAME/CAPACITY.
func (w *words) channel() (on park.Object, capacity int64) {
	name, size, ok := strings.Cut(w.next(), "/")
	if capacity = park.AnyCapacity; ok {
		capacity = w.number(size)
	}
	return park.Object{Kind: park.KindChan, Name: name}, capacity
}

// chanOp parses an op; false if it is none of theirs.
func (w *words) chanOp(verb string, target func() park.Seq) (op machine.Op, ok bool) {
	switch verb {
	case "ack":
		op.Do, op.To = machine.DoAck, target()
	case "close":
		op.Do, op.Codec = machine.DoClose, w.option("codec", "")
		op.On, op.N = w.channel()
	default:
		return op, false
	}
	return op, true
}

// chanArm parses an arm; false if it is none of theirs.
func (w *words) chanArm(verb string) (a park.Arm, ok bool) {
	a.N, a.Side = 1, park.Recv
	switch verb {
	case "send":
		a.Side = park.Send
	case "recv":
	case "recvack":
		a.Ack = true
	default:
		return a, false
	}
	a.Codec = w.option("codec", "")
	if a.On, a.Limit = w.channel(); a.Side == park.Send {
		a.Value = w.next()
	}
	return a, true
}

// chanText is what a channel is.
func chanText(t park.Traits) string {
	text := fmt.Sprintf("capacity %d, %d buffered, %d unacknowledged, %d bytes", t.Limit, t.Held-t.Unacked, t.Unacked, t.Bytes)
	if t.Codec != "" {
		text += ", codec " + t.Codec
	}
	if t.State == park.ChannelClosed {
		text += ", closed"
	}
	return text
}

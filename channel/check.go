package channel

import (
	"errors"
	"fmt"

	"coordd.dev/internal/park"
)

// Check compares who holds which element with what the holds say, and the channels with
// their elements: holds reports whether a call's hold is of a channel, deliveries is how
// many such holds there are. That nobody waits who could proceed is package machine's.
func (r *Room) Check(holds func(id park.ID, on park.Object) bool, deliveries int) []error {
	c := checker{known: map[uint64]known{}, sums: map[uint64]sums{}, seen: map[place]bool{}}
	for on, ch := range r.channels.All() {
		if other, had := c.known[ch.number]; had || ch.number == 0 || ch.number > r.last {
			c.failf(10, "channel %v has number %d, also of %v; the last is %d", on, ch.number, other.on, r.last)
		}
		c.known[ch.number] = known{on, ch.sent}
	}
	for at, e := range r.buffered.All() {
		c.element(at, e, 0)
	}
	for at, d := range r.deliveries.All() {
		c.element(place{at.channel, d.prio, d.sent}, d.element, 1)
		if on := c.known[at.channel].on; !holds(at.id, on) {
			c.failf(1, "the room has %v hold an element of %v", at.id, on)
		}
	}
	if r.deliveries.Len() != deliveries {
		c.failf(1, "the room has %d elements held, there are %d", r.deliveries.Len(), deliveries)
	}
	for on, ch := range r.channels.All() {
		c.channel(on, ch)
	}
	if sum := r.restored(); sum != r.stored {
		c.failf(10, "all elements count %d, counted as %d", sum, r.stored)
	}
	return c.faults
}

type checker struct {
	faults []error
	known  map[uint64]known // channels, by number
	sums   map[uint64]sums
	seen   map[place]bool // without the priority: send numbers
}

type known struct {
	on   park.Object
	sent uint64
}

// sums are over the elements of a channel.
type sums struct{ buffered, unacked, bytes int64 }

func (c *checker) failf(rule int, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("J%d: %w", rule, fmt.Errorf(format, args...)))
}

// element adds one up; held is 1 if it is unacknowledged.
func (c *checker) element(at place, e element, held int64) {
	of, ok := c.known[at.channel]
	if !ok || at.sent == 0 || at.sent > of.sent {
		c.failf(6, "element %d of %v, channel %d: the last sent is %d", at.sent, of.on, at.channel, of.sent)
	}
	n := place{channel: at.channel, sent: at.sent}
	if c.seen[n] {
		c.failf(6, "element %d of %v is in two places", at.sent, of.on)
	}
	c.seen[n] = true
	if len(e.value) > MaxElement || e.attempts < held {
		c.failf(6, "element %d of %v: %d bytes, %d attempts", at.sent, of.on, len(e.value), e.attempts)
	}
	s := c.sums[at.channel]
	s.buffered, s.unacked, s.bytes = s.buffered+1-held, s.unacked+held, s.bytes+int64(len(e.value))
	c.sums[at.channel] = s
}

// channel compares one with the sums over its elements and with its limits.
func (c *checker) channel(on park.Object, ch channel) {
	if s := c.sums[ch.number]; s != (sums{ch.buffered, ch.unacked, ch.bytes}) {
		c.failf(6, "%v has %+v of elements, counted as %+v", on, s, sums{ch.buffered, ch.unacked, ch.bytes})
	}
	if ch.capacity < 0 || ch.capacity > MaxCapacity || ch.held() > ch.capacity || ch.bytes > MaxBytes {
		c.failf(6, "%v of capacity %d has %d elements, %d bytes", on, ch.capacity, ch.held(), ch.bytes)
	}
}

// CheckSum compares the running hash with a recomputation.
func (r *Room) CheckSum() error {
	return errors.Join(r.channels.Check(), r.buffered.Check(), r.deliveries.Check())
}

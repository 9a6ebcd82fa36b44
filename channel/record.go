package channel

import (
	"cmp"
	"errors"
	"math"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// A channel is what it was made as, and the sums over its elements. These name it by
// number, so that none of them has its name.
type channel struct {
	number   uint64 // never used twice
	capacity int64
	codec    string // of who made it; "" if that did not say
	closed   bool
	sent     uint64 // how many were: the last send number
	buffered int64
	unacked  int64
	bytes    int64 // of both
}

func (c channel) held() int64 { return c.buffered + c.unacked }

// stores says whether what is sent may come to be an element of the channel's, of which there
// may be none yet (AnyCapacity).
func (c channel) stores() bool { return !c.closed && c.capacity != 0 }

// over says whether the arms of a side are refused because the channel is closed.
func (c channel) over(s park.Side) bool { return c.closed && (s == park.Send || c.held() == 0) }

// misfit says why an arm cannot be of this channel, 0 if it can. One without a codec takes
// what is stored; where that is "", no other does.
func (c channel) misfit(a park.Arm) (park.Code, int64) {
	switch {
	case a.Limit != park.AnyCapacity && a.Limit != c.capacity:
		return park.Mismatch, c.capacity
	case a.Codec != "" && a.Codec != c.codec:
		return park.Mismatch, park.CodecDiffers
	case a.Ack && c.capacity == 0:
		return park.Invalid, 1
	}
	return 0, 0
}

func (c channel) ready(a park.Arm) park.Verdict {
	switch {
	case c.over(a.Side):
		return park.Yes
	case c.capacity == 0:
		return park.Meet
	case a.Side == park.Send && c.held() < c.capacity && c.bytes+int64(len(a.Value)) <= MaxBytes:
		return park.Yes
	case a.Side == park.Recv && c.buffered > 0:
		return park.Yes
	}
	return park.No
}

// A place is where a buffered element stands.
type place struct {
	channel uint64
	prio    int32
	sent    uint64
}

func (a place) Compare(b place) int {
	if c := cmp.Compare(a.channel, b.channel); c != 0 {
		return c
	}
	if c := cmp.Compare(b.prio, a.prio); c != 0 { // higher first
		return c
	}
	return cmp.Compare(a.sent, b.sent)
}

// head is before every place of a channel.
func head(channel uint64) place { return place{channel: channel, prio: math.MaxInt32} }

// An element is what was sent, and how often it was delivered to be acknowledged.
type element struct {
	attempts int64
	value    string
}

// cost is what an element counts towards MaxStored.
func cost(value string) int64 { return int64(len(value)) + Overhead }

// An owner is a call that holds an element of a channel.
type owner struct {
	channel uint64
	id      park.ID
}

func (a owner) Compare(b owner) int {
	if c := cmp.Compare(a.channel, b.channel); c != 0 {
		return c
	}
	return a.id.Compare(b.id)
}

// A delivery is an element that is held, and the place that it has.
type delivery struct {
	prio int32
	sent uint64
	element
}

func (d delivery) result() park.Result {
	return park.Result{Code: park.Granted, Value: d.attempts, Data: d.value}
}

const maxUint = 1<<64 - 1

// Append appends the channel's encoding.
func (c channel) Append(b []byte) []byte {
	b = wire.AppendUint(b, c.number)
	b = wire.AppendInt(b, c.capacity)
	b = wire.AppendString(b, c.codec)
	b = wire.AppendBool(b, c.closed)
	b = wire.AppendUint(b, c.sent)
	b = wire.AppendInt(b, c.buffered)
	b = wire.AppendInt(b, c.unacked)
	return wire.AppendInt(b, c.bytes)
}

func decodeChannel(d *wire.Decoder) channel {
	return channel{
		number:   d.Uint(maxUint),
		capacity: d.Int(),
		codec:    d.String(),
		closed:   d.Bool(),
		sent:     d.Uint(maxUint),
		buffered: d.Int(),
		unacked:  d.Int(),
		bytes:    d.Int(),
	}
}

// Append appends the place's encoding.
func (a place) Append(b []byte) []byte {
	return wire.AppendUint(wire.AppendInt(wire.AppendUint(b, a.channel), a.prio), a.sent)
}

func decodePlace(d *wire.Decoder) place { return place{d.Uint(maxUint), d.Int32(), d.Uint(maxUint)} }

// Append appends the element's encoding.
func (e element) Append(b []byte) []byte {
	return wire.AppendString(wire.AppendInt(b, e.attempts), e.value)
}

func decodeElement(d *wire.Decoder) element { return element{d.Int(), d.String()} }

// Append appends the owner's encoding.
func (a owner) Append(b []byte) []byte { return a.id.Append(wire.AppendUint(b, a.channel)) }

func decodeOwner(d *wire.Decoder) owner { return owner{d.Uint(maxUint), park.DecodeID(d)} }

// Append appends the delivery's encoding.
func (d delivery) Append(b []byte) []byte {
	return d.element.Append(wire.AppendUint(wire.AppendInt(b, d.prio), d.sent))
}

func decodeDelivery(d *wire.Decoder) delivery {
	return delivery{d.Int32(), d.Uint(maxUint), decodeElement(d)}
}

// Sum is the hash of the room.
func (r *Room) Sum() uint64 {
	return r.channels.Sum() + 3*r.buffered.Sum() + 5*r.deliveries.Sum() + 7*r.last
}

// Copy returns a copy, in O(1).
func (r *Room) Copy() Room {
	return Room{r.channels.Copy(), r.buffered.Copy(), r.deliveries.Copy(), r.last, r.stored}
}

// Save emits the room's records.
func (r *Room) Save(emit func([]byte) error) error {
	if err := emit(wire.AppendUint(nil, r.last)); err != nil {
		return err
	}
	return errors.Join(r.channels.Save(emit), r.buffered.Save(emit), r.deliveries.Save(emit))
}

// Restore takes what Save emitted into a room that is empty.
func (r *Room) Restore(take func() (*wire.Decoder, error)) error {
	d, err := take()
	if err != nil {
		return err
	}
	r.last = d.Uint(maxUint)
	if err := d.Close(); err != nil {
		return err
	}
	err = r.channels.Restore(take, func(d *wire.Decoder) (park.Object, channel) {
		return park.DecodeObject(d), decodeChannel(d)
	})
	if err != nil {
		return err
	}
	err = r.buffered.Restore(take, func(d *wire.Decoder) (place, element) {
		return decodePlace(d), decodeElement(d)
	})
	if err != nil {
		return err
	}
	err = r.deliveries.Restore(take, func(d *wire.Decoder) (owner, delivery) {
		return decodeOwner(d), decodeDelivery(d)
	})
	r.stored = r.restored()
	return err
}

// restored is stored, from the elements.
func (r *Room) restored() (sum int64) {
	for _, e := range r.buffered.All() {
		sum += cost(e.value)
	}
	for _, d := range r.deliveries.All() {
		sum += cost(d.value)
	}
	return sum
}

package channel

import (
	"iter"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	// MaxCapacity is the highest capacity, in elements.
	MaxCapacity = 65_536

	// MaxElement is the longest element, and MaxCodec the longest name of a codec, in bytes.
	MaxElement = 64 << 10
	MaxCodec   = 64

	// MaxBytes bounds the bytes of a channel's elements, buffered or unacknowledged. A
	// channel is full for an element that would exceed it, as it is without a slot.
	MaxBytes = 64 << 20

	// MaxChannels bounds the channels of the room when one is made. Closed ones and those with
	// elements stay until they are deleted, so that a room which is full of them stays full.
	MaxChannels = 1_000_000

	// MaxStored bounds the elements of the whole room, when a send is admitted that may come to
	// be one. Each counts its bytes and Overhead, so that empty ones have an end too. It is a
	// refusal and no wait: a receive from any channel would end the wait, but wakes only those
	// who wait for its own. Who waits already, for its own channel, is let in nevertheless:
	// its bytes are in the machine as they are.
	MaxStored = 1 << 30
	Overhead  = 128
)

// A Room has all channels and their elements. Make it with NewRoom.
type Room struct {
	channels   cow.Table[park.Object, channel]
	buffered   cow.Table[place, element]
	deliveries cow.Table[owner, delivery] // unacknowledged; apart, so that no receive passes over them
	last       uint64                     // number given to a channel

	// stored is derived from the elements: what they count towards MaxStored.
	stored int64
}

// NewRoom returns an empty room.
func NewRoom() Room {
	return Room{
		channels:   cow.NewTable[park.Object, channel](),
		buffered:   cow.NewTable[place, element](),
		deliveries: cow.NewTable[owner, delivery](),
	}
}

// Admit says whether an arm may be asked for at all: 0 if so, else why not, with the limit
// that was met or what is stored. The first admitted arm with a capacity makes the channel,
// even if its call is refused for another arm; Len tells.
func (r *Room) Admit(a park.Arm) (park.Code, int64) {
	if code, value := valid(a); code != 0 {
		return code, value
	}
	c, there := r.channels.Get(a.On)
	if !there {
		c = channel{capacity: a.Limit, codec: a.Codec}
	}
	code, value := c.misfit(a)
	switch {
	case code != 0:
		return code, value
	case a.Side == park.Send && c.stores() && r.stored+cost(a.Value) > MaxStored:
		return park.Limit, MaxStored
	case !there && a.Limit != park.AnyCapacity:
		return r.open(a.On, c)
	}
	return 0, 0
}

// valid says whether an arm could be asked for of some channel.
func valid(a park.Arm) (park.Code, int64) {
	send, recv := a.Side == park.Send && !a.Ack, a.Side == park.Recv && a.Value == ""
	switch {
	case !park.ValidName(a.On.Name):
		return park.Invalid, park.MaxName
	case a.On.Kind != park.KindChan || a.Shared || a.N != 1 || !send && !recv:
		return park.Invalid, 1
	case a.Limit < park.AnyCapacity || a.Limit > MaxCapacity:
		return park.Invalid, MaxCapacity
	case len(a.Value) > MaxElement:
		return park.Invalid, MaxElement
	case len(a.Codec) > MaxCodec || a.Codec != "" && !park.ValidName(a.Codec):
		return park.Invalid, MaxCodec
	}
	return 0, 0
}

// open makes a channel.
func (r *Room) open(on park.Object, c channel) (park.Code, int64) {
	if r.channels.Len() >= MaxChannels {
		return park.Limit, MaxChannels
	}
	r.last++
	c.number = r.last
	r.channels.Put(on, c)
	return 0, 0
}

// Misfit says why a waiting arm, admitted before there was the channel, cannot have it as it
// was made: 0 if it can, or there is none.
func (r *Room) Misfit(a park.Arm) (park.Code, int64) {
	if c, ok := r.channels.Get(a.On); ok {
		return c.misfit(a)
	}
	return 0, 0
}

// Ready says whether an arm can proceed now, given that nobody stands ahead of it on its
// side. An arm that will be refused because the channel is closed can.
func (r *Room) Ready(a park.Arm) park.Verdict {
	if c, ok := r.channels.Get(a.On); ok {
		return c.ready(a)
	}
	return park.No
}

// Exclusive says whether a hold of the arm excludes all others of what it holds, and so has
// a token. That is one element: other calls may hold others of the channel.
func (r *Room) Exclusive(a park.Arm) bool { return a.Ack }

// Commit does what a ready arm asks for, at the priority of its waiter. With peer, the arm
// of the other side, the two are a rendezvous, and the peer is committed likewise.
func (r *Room) Commit(id park.ID, a park.Arm, prio int32, peer *park.Arm) park.Result {
	c, ok := r.channels.Get(a.On)
	if !ok {
		panic("channel: there is none to commit to")
	}
	verdict := c.ready(a)
	if verdict == park.No || (verdict == park.Meet) != (peer != nil) {
		panic("channel: the arm is not ready, or ready otherwise")
	}
	switch {
	case c.over(a.Side):
		return park.Result{Code: park.Closed}
	case peer != nil:
		return r.meet(a, c, peer)
	case a.Side == park.Send:
		return r.send(a, c, prio)
	default:
		return r.receive(id, a, c)
	}
}

// meet commits one side of a rendezvous, of which only the send number stays.
func (r *Room) meet(a park.Arm, c channel, peer *park.Arm) park.Result {
	if peer.On != a.On || peer.Side == a.Side {
		panic("channel: a rendezvous of arms that do not meet")
	}
	if a.Side == park.Recv {
		return park.Result{Code: park.Done, Data: peer.Value}
	}
	c.sent++
	r.channels.Put(a.On, c)
	return park.Result{Code: park.Done}
}

func (r *Room) send(a park.Arm, c channel, prio int32) park.Result {
	c.sent++
	r.buffered.Put(place{c.number, prio, c.sent}, element{value: a.Value})
	c.buffered++
	r.count(a.On, c, a.Value, 1)
	return park.Result{Code: park.Done}
}

func (r *Room) receive(id park.ID, a park.Arm, c channel) park.Result {
	at, e := r.pop(c)
	c.buffered--
	if !a.Ack {
		r.count(a.On, c, e.value, -1)
		return park.Result{Code: park.Done, Data: e.value}
	}
	e.attempts++
	d := delivery{at.prio, at.sent, e}
	if _, had := r.deliveries.Put(owner{c.number, id}, d); had {
		panic("channel: the call holds an element already")
	}
	c.unacked++
	r.channels.Put(a.On, c)
	return d.result()
}

// pop removes a channel's first element. The caller puts the channel.
func (r *Room) pop(c channel) (place, element) {
	at, ok := r.buffered.First(head(c.number))
	if !ok || at.channel != c.number {
		panic("channel: fewer elements are buffered than were counted")
	}
	e, _ := r.buffered.Delete(at)
	return at, e
}

// count puts a channel that got an element (1), or lost one for good (-1).
func (r *Room) count(on park.Object, c channel, value string, n int64) {
	c.bytes += n * int64(len(value))
	r.stored += n * cost(value)
	r.channels.Put(on, c)
}

// Held is what Commit returned for a hold.
func (r *Room) Held(id park.ID, a park.Arm) park.Result {
	c, _ := r.channels.Get(a.On)
	d, ok := r.deliveries.Get(owner{c.number, id})
	if !ok {
		panic("channel: the call holds no element")
	}
	return d.result()
}

// Holders yields who holds elements of a channel, by call.
func (r *Room) Holders(on park.Object) iter.Seq[park.ID] {
	return func(yield func(park.ID) bool) {
		c, _ := r.channels.Get(on)
		for at := range r.deliveries.From(owner{channel: c.number}) {
			if at.channel != c.number || !yield(at.id) {
				return
			}
		}
	}
}

// Delivered yields each call that holds an element, with the bytes of that.
func (r *Room) Delivered() iter.Seq2[park.ID, int] {
	return func(yield func(park.ID, int) bool) {
		for at, d := range r.deliveries.All() {
			if !yield(at.id, len(d.value)) {
				return
			}
		}
	}
}

// Release gives the element of a hold back to its place.
func (r *Room) Release(id park.ID, a park.Arm, n int64) {
	if n != 1 {
		panic("channel: a hold is of one element")
	}
	c, d := r.take(id, a.On)
	r.buffered.Put(place{c.number, d.prio, d.sent}, d.element)
	c.buffered++
	r.channels.Put(a.On, c)
}

// Ack ends a hold, and its element is gone.
func (r *Room) Ack(id park.ID, on park.Object) {
	c, d := r.take(id, on)
	r.count(on, c, d.value, -1)
}

// take takes its element from a call. The caller puts the channel.
func (r *Room) take(id park.ID, on park.Object) (channel, delivery) {
	c, _ := r.channels.Get(on)
	d, ok := r.deliveries.Delete(owner{c.number, id})
	if !ok {
		panic("channel: the call holds no element")
	}
	c.unacked--
	return c, d
}

// Close closes a channel, and makes it if there is none and the capacity is given. An open
// one is never refused for a limit of the room.
func (r *Room) Close(on park.Object, capacity int64, codec string) (park.Code, int64) {
	a := park.Arm{On: on, Side: park.Recv, N: 1, Limit: capacity, Codec: codec}
	if code, value := valid(a); code != 0 {
		return code, value
	}
	c, there := r.channels.Get(on)
	if !there {
		return r.openClosed(on, capacity, codec)
	}
	if code, value := c.misfit(a); code != 0 {
		return code, value
	}
	if c.closed {
		return park.Closed, 0
	}
	c.closed = true
	r.channels.Put(on, c)
	return park.Done, 0
}

func (r *Room) openClosed(on park.Object, capacity int64, codec string) (park.Code, int64) {
	if capacity == park.AnyCapacity {
		return park.NotFound, 0
	}
	if code, value := r.open(on, channel{capacity: capacity, codec: codec, closed: true}); code != 0 {
		return code, value
	}
	return park.Done, 0
}

// Tidy forgets a channel, for which nobody waits, if it is open and has no elements.
func (r *Room) Tidy(on park.Object) {
	if c, ok := r.channels.Get(on); ok && !c.closed && c.held() == 0 {
		r.channels.Delete(on)
	}
}

// Delete removes a channel, for which nobody waits, and what is buffered. It is busy while an
// element is unacknowledged, and says how many are.
func (r *Room) Delete(on park.Object) (park.Code, int64) {
	c, ok := r.channels.Get(on)
	switch {
	case !ok:
		return park.NotFound, 0
	case c.unacked > 0:
		return park.Busy, c.unacked
	}
	for range c.buffered {
		_, e := r.pop(c)
		r.stored -= cost(e.value)
	}
	r.channels.Delete(on)
	return park.Done, 0
}

// First returns the first channel, from the given object on.
func (r *Room) First(from park.Object) (park.Object, bool) { return r.channels.First(from) }

// Len is how many channels there are. An Admit or a Close that made one has raised it.
func (r *Room) Len() int { return r.channels.Len() }

// Traits returns what a channel is.
func (r *Room) Traits(on park.Object) (park.Traits, bool) {
	c, ok := r.channels.Get(on)
	if !ok {
		return park.Traits{}, false
	}
	t := park.Traits{Limit: c.capacity, Held: c.held(), Unacked: c.unacked, Bytes: c.bytes, Codec: c.codec}
	if c.closed {
		t.State = park.ChannelClosed
	}
	return t, true
}

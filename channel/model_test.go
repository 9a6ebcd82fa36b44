package channel_test

import (
	"slices"

	"coordd.dev/channel"
	"coordd.dev/internal/park"
)

// A pile is a room that is a list of channels, each of them the list of its elements in the
// order in which they were sent, looked through for every question. It has no count, no
// number and no order by priority.
type pile []*heap

type heap struct {
	on       park.Object
	capacity int64
	codec    string
	closed   bool
	elements []item
}

type item struct {
	value    string
	prio     int32
	attempts int64
	holder   park.ID // zero if it is buffered
}

func (p pile) find(on park.Object) *heap {
	for _, h := range p {
		if h.on == on {
			return h
		}
	}
	return nil
}

func (p pile) clone() pile {
	var c pile
	for _, h := range p {
		other := *h
		other.elements = slices.Clone(h.elements)
		c = append(c, &other)
	}
	return c
}

// without is the pile but for one channel.
func (p pile) without(on park.Object) pile {
	return slices.DeleteFunc(slices.Clone(p), func(h *heap) bool { return h.on == on })
}

func (p pile) stored() (sum int64) {
	for _, h := range p {
		for _, e := range h.elements {
			sum += int64(len(e.value)) + channel.Overhead
		}
	}
	return sum
}

// admit is Admit of an arm that is not malformed.
func (p *pile) admit(a park.Arm) (park.Code, int64) {
	h := p.find(a.On)
	if h == nil && a.Limit < 0 {
		if a.Side == park.Send && p.stored()+int64(len(a.Value))+channel.Overhead > channel.MaxStored {
			return park.Limit, channel.MaxStored
		}
		return 0, 0
	}
	if h != nil {
		if code, value := p.misfit(a); code != 0 {
			return code, value
		}
	} else if a.Limit == 0 && a.Ack {
		return park.Invalid, 1
	}
	capacity, open := a.Limit, true
	if h != nil {
		capacity, open = h.capacity, !h.closed
	}
	if a.Side == park.Send && capacity > 0 && open &&
		p.stored()+int64(len(a.Value))+channel.Overhead > channel.MaxStored {
		return park.Limit, channel.MaxStored
	}
	if h == nil {
		*p = append(*p, &heap{on: a.On, capacity: a.Limit, codec: a.Codec})
	}
	return 0, 0
}

func (p pile) misfit(a park.Arm) (park.Code, int64) {
	h := p.find(a.On)
	if h == nil {
		return 0, 0
	}
	if a.Limit >= 0 && a.Limit != h.capacity {
		return park.Mismatch, h.capacity
	}
	if a.Codec != "" && a.Codec != h.codec {
		return park.Mismatch, park.CodecDiffers
	}
	if a.Ack && h.capacity == 0 {
		return park.Invalid, 1
	}
	return 0, 0
}

// next is which element is received next, -1 if none is buffered.
func (h *heap) next() int {
	best := -1
	for i, e := range h.elements {
		if e.holder == (park.ID{}) && (best < 0 || e.prio > h.elements[best].prio) {
			best = i
		}
	}
	return best
}

func (h *heap) bytes() (sum int64) {
	for _, e := range h.elements {
		sum += int64(len(e.value))
	}
	return sum
}

func (h *heap) unacked() (n int64) {
	for _, e := range h.elements {
		if e.holder != (park.ID{}) {
			n++
		}
	}
	return n
}

func (p pile) ready(a park.Arm) park.Verdict {
	h := p.find(a.On)
	if h == nil {
		return park.No
	}
	if a.Side == park.Send && h.closed || a.Side == park.Recv && h.closed && len(h.elements) == 0 {
		return park.Yes
	}
	if h.capacity == 0 {
		return park.Meet
	}
	if a.Side == park.Recv && h.next() >= 0 {
		return park.Yes
	}
	if a.Side == park.Send && int64(len(h.elements)) < h.capacity && h.bytes()+int64(len(a.Value)) <= channel.MaxBytes {
		return park.Yes
	}
	return park.No
}

// commit is Commit of a ready arm.
func (p pile) commit(id park.ID, a park.Arm, prio int32, peer *park.Arm) park.Result {
	h := p.find(a.On)
	switch {
	case a.Side == park.Send && h.closed, a.Side == park.Recv && h.closed && len(h.elements) == 0:
		return park.Result{Code: park.Closed}
	case a.Side == park.Send && peer != nil:
		return park.Result{Code: park.Done}
	case a.Side == park.Send:
		h.elements = append(h.elements, item{value: a.Value, prio: prio})
		return park.Result{Code: park.Done}
	case peer != nil:
		return park.Result{Code: park.Done, Data: peer.Value}
	}
	i := h.next()
	e := &h.elements[i]
	if a.Ack {
		e.attempts++
		e.holder = id
		return park.Result{Code: park.Granted, Value: e.attempts, Data: e.value}
	}
	value := e.value
	h.elements = slices.Delete(h.elements, i, i+1)
	return park.Result{Code: park.Done, Data: value}
}

func (h *heap) heldBy(id park.ID) int {
	return slices.IndexFunc(h.elements, func(e item) bool { return e.holder == id })
}

func (p pile) release(id park.ID, on park.Object) {
	h := p.find(on)
	h.elements[h.heldBy(id)].holder = park.ID{}
}

func (p pile) ack(id park.ID, on park.Object) {
	h := p.find(on)
	i := h.heldBy(id)
	h.elements = slices.Delete(h.elements, i, i+1)
}

func (p *pile) close(on park.Object, capacity int64, codec string) (park.Code, int64) {
	h := p.find(on)
	if h == nil && capacity < 0 {
		return park.NotFound, 0
	}
	if h == nil {
		*p = append(*p, &heap{on: on, capacity: capacity, codec: codec, closed: true})
		return park.Done, 0
	}
	if code, value := p.misfit(park.Arm{On: on, Limit: capacity, Codec: codec}); code != 0 {
		return code, value
	}
	if h.closed {
		return park.Closed, 0
	}
	h.closed = true
	return park.Done, 0
}

func (p *pile) tidy(on park.Object) {
	if h := p.find(on); h != nil && !h.closed && len(h.elements) == 0 {
		*p = p.without(on)
	}
}

func (p *pile) remove(on park.Object) (park.Code, int64) {
	h := p.find(on)
	if h == nil {
		return park.NotFound, 0
	}
	if n := h.unacked(); n > 0 {
		return park.Busy, n
	}
	*p = p.without(on)
	return park.Done, 0
}

func (p pile) traits(on park.Object) (park.Traits, bool) {
	h := p.find(on)
	if h == nil {
		return park.Traits{}, false
	}
	t := park.Traits{
		Limit: h.capacity, Held: int64(len(h.elements)), Unacked: h.unacked(), Bytes: h.bytes(), Codec: h.codec,
	}
	if h.closed {
		t.State = park.ChannelClosed
	}
	return t, true
}

// first is the least channel from one on.
func (p pile) first(from park.Object) (least park.Object, ok bool) {
	after := func(a, b park.Object) bool { return a.Kind > b.Kind || a.Kind == b.Kind && a.Name >= b.Name }
	for _, h := range p {
		if after(h.on, from) && (!ok || !after(h.on, least)) {
			least, ok = h.on, true
		}
	}
	return least, ok
}

// A claim is a hold of an element.
type claim struct {
	id park.ID
	on park.Object
}

func (p pile) claims() (all []claim) {
	for _, h := range p {
		for _, e := range h.elements {
			if e.holder != (park.ID{}) {
				all = append(all, claim{e.holder, h.on})
			}
		}
	}
	return all
}

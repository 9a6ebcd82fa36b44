package client_test

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

// This file is what channels should be, in the dumbest way: lists, scans and copies, and
// nothing shared with the machine. Where there is a choice it has all outcomes.

// A pipe is a channel.
type pipe struct {
	capacity int
	closed   bool
	elements []element // in order; those that are unacknowledged keep their place
}

type element struct {
	value, priority, attempts int
	by                        int // the ask that has received it and not acknowledged; 0: it is buffered
}

// An ask is a call that may wait.
type ask struct {
	id, client, priority int
	arms                 []armOf // of distinct channels
	ordered, try         bool
}

type armOf struct {
	on        int // the channel
	send, ack bool
	value     int // to send
}

// An outcome is what a call was told.
type outcome struct {
	how            how
	arm            int
	value, attempt int // received
}

type how string

const (
	got       how = "got"
	ended     how = "closed"
	busy      how = "busy"
	cancelled how = "cancelled"
	released  how = "not held"
)

// Pipes are all channels at one time.
type pipes struct {
	all     []pipe
	waiting []ask           // the higher priority first, then who came first
	told    map[int]outcome // by id of a call
	dead    map[int]bool    // calls that were cancelled, maybe before they began
}

// An event happens to the channels at one instant.
type event struct {
	do     string // ask, cancel, ack, nack, close, expire
	id     int    // of the call that it is
	ask    ask
	target int // a call; of close a channel; of expire a client
}

// likewise reports whether both are about the same thing.
func (e event) likewise(other event) bool { return e.do != "ask" && e.target == other.target }

func (p *pipes) clone() *pipes {
	q := &pipes{slices.Clone(p.all), slices.Clone(p.waiting), maps.Clone(p.told), maps.Clone(p.dead)}
	for i := range q.all {
		q.all[i].elements = slices.Clone(q.all[i].elements)
	}
	return q
}

// state tells what decides the future.
func (p *pipes) state() string { return fmt.Sprintf("%+v, waiting %+v", p.all, p.waiting) }

// after is what can be after an event.
func (p *pipes) after(e event) []*pipes {
	p = p.clone()
	switch e.do {
	case "ask":
		if p.dead[e.id] {
			p.told[e.id] = outcome{how: cancelled}
			return []*pipes{p}
		}
		return p.arrive(e.ask)
	case "cancel":
		p.dead[e.target] = true
		if p.leave(e.target) {
			p.told[e.target] = outcome{how: cancelled}
			return []*pipes{p}
		}
		// It may be told of the cancel before it is told of an element that it was given to
		// acknowledge: that goes back, and has been delivered once more.
		q := p.clone()
		if q.giveUp(e.target, false) == released {
			return []*pipes{p}
		}
		q.told[e.target] = outcome{how: cancelled}
		return append(q.settle(), p)
	case "ack", "nack":
		p.told[e.id] = outcome{how: p.giveUp(e.target, e.do == "ack")}
	case "close":
		p.told[e.id] = outcome{how: got}
		if p.all[e.target].closed {
			p.told[e.id] = outcome{how: ended}
		}
		p.all[e.target].closed = true
	case "expire":
		return p.expire(e.target)
	}
	return p.settle()
}

// arrive is of a call that asks now.
func (p *pipes) arrive(a ask) (all []*pipes) {
	for arm := range p.ready(a) {
		q := p.clone()
		q.commit(a, arm)
		all = append(all, q.settle()...)
	}
	switch {
	case len(all) > 0:
		return all
	case a.try:
		p.told[a.id] = outcome{how: busy}
	default:
		at := len(p.waiting)
		for at > 0 && p.waiting[at-1].priority < a.priority {
			at--
		}
		p.waiting = slices.Insert(p.waiting, at, a)
	}
	return []*pipes{p}
}

// settle lets proceed who can: the first of all first.
func (p *pipes) settle() (all []*pipes) {
	for _, a := range p.waiting {
		for arm := range p.ready(a) {
			q := p.clone()
			q.leave(a.id)
			q.commit(a, arm)
			all = append(all, q.settle()...)
		}
		if len(all) > 0 {
			return all
		}
	}
	return []*pipes{p}
}

// ready yields the arms that the call may proceed with.
func (p *pipes) ready(a ask) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, arm := range a.arms {
			if p.can(a, arm) && (!yield(i) || a.ordered) {
				return
			}
		}
	}
}

func (p *pipes) can(a ask, arm armOf) bool {
	c := p.all[arm.on]
	switch {
	case c.closed && (arm.send || len(c.elements) == 0):
		return true
	case c.capacity == 0:
		_, _, ok := p.partner(a, arm)
		return ok
	case arm.send:
		return len(c.elements) < c.capacity
	default:
		return c.buffered() >= 0
	}
}

// partner is who a call meets on a channel without a buffer, and which arm of it.
func (p *pipes) partner(a ask, arm armOf) (ask, int, bool) {
	for _, b := range p.waiting {
		for i, other := range b.arms {
			if b.id != a.id && other.on == arm.on && other.send != arm.send {
				return b, i, true
			}
		}
	}
	return ask{}, 0, false
}

// buffered is where the element stands that is received next, -1 if there is none.
func (c *pipe) buffered() int {
	return slices.IndexFunc(c.elements, func(e element) bool { return e.by == 0 })
}

// commit does what a call asks for, which waits no more.
func (p *pipes) commit(a ask, i int) {
	arm := a.arms[i]
	c := &p.all[arm.on]
	switch {
	case c.closed && (arm.send || len(c.elements) == 0):
		p.told[a.id] = outcome{how: ended, arm: i}
	case c.capacity == 0:
		b, j, _ := p.partner(a, arm)
		p.leave(b.id)
		value := arm.value + b.arms[j].value // one of them sends
		p.told[a.id], p.told[b.id] = met(arm, i, value), met(b.arms[j], j, value)
	case arm.send:
		at := len(c.elements)
		for at > 0 && c.elements[at-1].priority < a.priority {
			at--
		}
		c.elements = slices.Insert(c.elements, at, element{value: arm.value, priority: a.priority})
		p.told[a.id] = outcome{how: got, arm: i}
	default:
		at := c.buffered()
		e := &c.elements[at]
		p.told[a.id] = outcome{how: got, arm: i, value: e.value}
		if arm.ack {
			e.attempts++
			e.by = a.id
			p.told[a.id] = outcome{how: got, arm: i, value: e.value, attempt: e.attempts}
		} else {
			c.elements = slices.Delete(c.elements, at, at+1)
		}
	}
}

func met(arm armOf, i, value int) outcome {
	if arm.send {
		return outcome{how: got, arm: i}
	}
	return outcome{how: got, arm: i, value: value}
}

// leave takes a call out that waits.
func (p *pipes) leave(id int) bool {
	n := len(p.waiting)
	p.waiting = slices.DeleteFunc(p.waiting, func(a ask) bool { return a.id == id })
	return len(p.waiting) < n
}

// giveUp ends what a call has received: for good, or it is buffered again.
func (p *pipes) giveUp(id int, acknowledged bool) how {
	for i := range p.all {
		c := &p.all[i]
		at := slices.IndexFunc(c.elements, func(e element) bool { return e.by == id })
		switch {
		case at < 0:
			continue
		case acknowledged:
			c.elements = slices.Delete(c.elements, at, at+1)
		default:
			c.elements[at].by = 0
		}
		return got
	}
	return released
}

// expire ends the session of a client: what it has not acknowledged goes back, and what it
// waits for it asks for anew, in the order of its calls.
func (p *pipes) expire(of int) []*pipes {
	var again []ask
	for _, a := range p.waiting {
		if a.client == of {
			again = append(again, a)
		}
	}
	for _, a := range again {
		p.leave(a.id)
	}
	slices.SortFunc(again, func(a, b ask) int { return a.id - b.id })
	for i := range p.all {
		for j, e := range p.all[i].elements {
			if e.by%clientsOfChannels == of && e.by != 0 {
				p.all[i].elements[j].by = 0
			}
		}
	}
	all := p.settle()
	for _, a := range again {
		var next []*pipes
		for _, q := range all {
			next = append(next, q.arrive(a)...)
		}
		all = next
	}
	return all
}

// explained is what can be after events that happened in any order, and were told as told.
func explained(before []*pipes, events []event, told map[int]outcome) []*pipes {
	after := map[string]*pipes{}
	for order := range orders(events) {
		all := before
		for _, e := range order {
			var next []*pipes
			for _, p := range all {
				next = append(next, p.after(e)...)
			}
			all = next
		}
		for _, p := range all {
			if maps.Equal(p.told, told) {
				after[p.state()] = p
			}
		}
	}
	return slices.Collect(maps.Values(after))
}

// orders yields all orders of a few events.
func orders(events []event) iter.Seq[[]event] {
	return func(yield func([]event) bool) {
		if len(events) < 2 {
			yield(events)
			return
		}
		for i, first := range events {
			rest := slices.Delete(slices.Clone(events), i, i+1)
			for order := range orders(rest) {
				if !yield(append([]event{first}, order...)) {
					return
				}
			}
		}
	}
}

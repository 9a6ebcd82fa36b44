package main

import (
	"go.opentelemetry.io/otel/propagation"

	"coordd.dev/client"
)

// An order is what a customer wants.
type order struct {
	Count int    `json:"count"`
	Item  string `json:"item"`
}

// A saga is an order and how far it has come: the entry of the order in the map of sagas.
// Each change of it is a CompareAndSwap, so that an orchestrator which does not lead any
// more changes nothing: the next one has put its own term there first.
type saga struct {
	Order order                  `json:"order"`
	State state                  `json:"state"`
	Step  int                    `json:"step"` // what is to be done or undone next
	Why   string                 `json:"why,omitempty"`
	Term  client.Token           `json:"term"` // of the orchestrator whose it is
	Trace propagation.MapCarrier `json:"trace,omitempty"`
}

type state string

const (
	doing   state = "doing"
	undoing state = "undoing"
	done    state = "done"
	undone  state = "undone"
)

func (s saga) over() bool { return s.State == done || s.State == undone }

func (s saga) String() string {
	if s.Why != "" {
		return string(s.State) + ": " + s.Why
	}
	return string(s.State)
}

// A step is what one service does, and what undoes it.
type step struct{ service, do, undo string }

func steps() []step {
	return []step{
		{"order", "accept", "cancel"},
		{"payment", "charge", "refund"},
		{"stock", "take", "put back"},
	}
}

// next is who is asked to do what.
func (s saga) next() (service, verb string) {
	is := steps()[s.Step]
	if s.State == undoing {
		return is.service, is.undo
	}
	return is.service, is.do
}

// after is the saga when its next step is done, or refused for a reason.
func (s saga) after(refused string) saga {
	switch {
	case refused != "":
		s.State, s.Why, s.Step = undoing, refused, s.Step-1
	case s.State == undoing:
		s.Step--
	default:
		s.Step++
	}
	switch {
	case s.State == undoing && s.Step < 0:
		s.State = undone
	case s.Step == len(steps()):
		s.State = done
	}
	return s
}

// A command asks a service for something, and carries the trace that it is part of.
type command struct {
	Saga  string                 `json:"saga"`
	Verb  string                 `json:"verb"`
	Order order                  `json:"order"`
	Trace propagation.MapCarrier `json:"trace,omitempty"`
}

// key is the same whenever the same is asked.
func (c command) key() string { return c.Saga + ": " + c.Verb }

// A reply is what a service says to a command.
type reply struct {
	Key     string                 `json:"key"` // the command's
	Refused string                 `json:"refused,omitempty"`
	Trace   propagation.MapCarrier `json:"trace,omitempty"`
}

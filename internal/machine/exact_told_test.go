package machine_test

import (
	"fmt"
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What tiny worlds say of the cycles that are told.

// told checks each link of a cycle that was told, and counts what kind it was.
func (w *tiny) told(e machine.Event) {
	fault := func(format string, args ...any) {
		w.t.Errorf("entry %d: %s: %+v, of %s", w.index, fmt.Sprintf(format, args...), e.Cycle, w)
	}
	if len(e.Cycle) == 0 || e.Cycle[0].ID != (park.ID{Session: e.Session, Seq: e.Seq}) {
		fault("it does not begin with the wait that was refused")
		return
	}
	w.seen[fmt.Sprintf("a cycle of %d", len(e.Cycle))]++
	for i, from := range e.Cycle {
		to := e.Cycle[(i+1)%len(e.Cycle)]
		c, d := w.call(from.ID), w.call(to.ID)
		if c == nil || d == nil || c.holds || d.holds {
			fault("%v or %v does not wait", from.ID, to.ID)
			return
		}
		if from.Who != fmt.Sprint("who ", w.session(from.ID)) || from.Wants.Site != c.site {
			fault("%v is another", from.ID)
		}
		if !w.link(c, d, from.Wants.On, to.Holds) {
			fault("%v does not wait for %v", c.id, d.id)
		}
		for _, ref := range to.Holds {
			if !slices.ContainsFunc(d.names, func(id park.ID) bool {
				return ref.Site == fmt.Sprint("hold ", id) && slices.ContainsFunc(w.heldBy(id), func(a park.Arm) bool { return a.On == ref.On })
			}) {
				fault("%v does not hold %v", d.id, ref)
			}
		}
		w.counted(c, len(e.Cycle))
	}
}

// heldBy is what a call holds.
func (w *tiny) heldBy(id park.ID) []park.Arm {
	if c := w.call(id); c != nil {
		return c.arms
	}
	return nil
}

// counted counts what a wait in a cycle is.
func (w *tiny) counted(c *tinyCall, length int) {
	switch {
	case len(c.arms) > 1 && c.commit == park.Every:
		w.seen["through a LockAll"]++
	case len(c.arms) > 1:
		w.seen["through a select"]++
	}
	if len(c.names) == 0 {
		w.seen["through a wait without a lineage"]++
	}
	for _, id := range c.names {
		if id.Session != c.id.Session {
			w.seen["through another session's hold"]++
		}
		h := w.heldBy(id)
		if len(h) != 1 || len(c.arms) != 1 || !h[0].Shared || h[0].On != c.arms[0].On {
			continue
		}
		switch {
		case length == 1:
			w.seen["an upgrade"]++
		case length == 2 && c.arms[0].Shared:
			w.seen["a reader behind a writer behind itself"]++
		}
	}
}

// link says whether a wait is in the way of another one on an object: it stands ahead there, or
// holds it, which then is said first.
func (w *tiny) link(c, d *tinyCall, on park.Object, refs []machine.Ref) bool {
	ahead, holds := false, false
	for _, a := range c.arms {
		if a.On != on {
			continue
		}
		for _, b := range d.arms {
			ahead = ahead || b.On == on && d.before(c)
		}
		if on.Kind == park.KindSemaphore && w.limit-w.kept() >= a.N {
			continue // there are permits enough
		}
		for _, id := range d.names {
			for _, b := range w.heldBy(id) {
				holds = holds || b.On == on && !(a.Shared && b.Shared) && len(refs) > 0 && refs[0].On == on
			}
		}
	}
	switch {
	case holds:
		w.seen["through a hold"]++
	case ahead:
		w.seen["through a queue"]++
	}
	if holds && on.Kind == park.KindSemaphore {
		w.seen["through a semaphore"]++
	}
	if holds && on.Kind == park.KindElection {
		w.seen["through an election"]++
	}
	return ahead || holds
}

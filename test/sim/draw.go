package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A draw is what somebody may come to want.
type draw struct {
	w   *world
	r   *rand.Rand
	ttl time.Duration
}

// request draws a call.
func (d draw) request() *request {
	r := d.r
	switch r.IntN(24) {
	case 0:
		return &request{do: machine.DoDescribe, on: d.object().on}
	case 1, 2:
		o := d.object()
		n := 1 + r.Int64N(4)
		o.most = max(o.most, n)
		return &request{do: machine.DoResize, on: o.on, n: n}
	}
	w := machine.Wait{Commit: park.Any, Arms: []park.Arm{d.arm(r.IntN(len(d.w.objects)))}}
	switch r.IntN(8) {
	case 0:
		w.Commit, w.Arms = park.Every, d.all()
	case 1:
		w.Arms = d.several()
	case 2:
		w.Commit, w.Arms = park.First, d.several()
	}
	w.Try = chance(r, 8)
	if chance(r, 6) {
		w.Delay = int64(upTo(r, d.ttl))
	}
	if chance(r, 8) {
		w.Limit = int64(upTo(r, d.ttl)) + 1
	}
	if chance(r, 6) {
		w.Prio = int32(r.IntN(3)) - 1 //nolint:gosec // small
	}
	return &request{do: machine.DoWait, wait: w}
}

func (d draw) object() *object { return d.w.objects[d.r.IntN(len(d.w.objects))] }

func (d draw) arm(i int) park.Arm {
	o := d.w.objects[i]
	a := park.Arm{On: o.on, N: 1}
	switch o.on.Kind {
	case park.KindElection:
		a.Value = d.value()
	case park.KindLock:
		a.Shared = chance(d.r, 3)
	default:
		a.N, a.Limit = 1+d.r.Int64N(o.limit), o.limit
	}
	return a
}

func (d draw) value() string { return fmt.Sprint("v", d.r.IntN(1000)) }

// all are the arms of a LockAll: distinct and sorted, as the machine wants them.
func (d draw) all() []park.Arm {
	var arms []park.Arm
	for i := range d.w.objects {
		if chance(d.r, 2) {
			arms = append(arms, d.arm(i))
		}
	}
	if len(arms) == 0 {
		arms = append(arms, d.arm(0))
	}
	slices.SortFunc(arms, func(a, b park.Arm) int { return a.On.Compare(b.On) })
	return arms
}

// several are the arms of a Select, maybe one object twice.
func (d draw) several() []park.Arm {
	arms := make([]park.Arm, 1+d.r.IntN(3))
	for i := range arms {
		arms[i] = d.arm(d.r.IntN(len(d.w.objects)))
	}
	return arms
}

// change draws what may be done with a hold of n, nil if there is nothing.
func (d draw) change(a park.Arm, n int64) *request {
	switch {
	case a.On.Kind == park.KindSemaphore && n > 1:
		return &request{do: machine.DoRelease, n: 1}
	case a.On.Kind != park.KindElection:
		return nil
	case chance(d.r, 2):
		return &request{do: machine.DoProclaim, value: d.value()}
	}
	return &request{do: machine.DoTransfer, heir: d.heir(a.On)}
}

// heir is the session of somebody who waits for an election, or of anybody.
func (d draw) heir(on park.Object) park.SessionID {
	if q := d.w.order.queues[on]; len(q) > 0 && !chance(d.r, 4) {
		return q[d.r.IntN(len(q))].id.Session
	}
	if n := d.r.IntN(len(d.w.clients) + len(d.w.callers)); n >= len(d.w.clients) {
		return d.w.callers[n-len(d.w.clients)].session
	}
	id, _ := d.w.someClient().l.Session()
	return park.SessionID(id)
}

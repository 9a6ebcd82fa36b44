package machine_test

import (
	"fmt"
	"slices"
	"strings"

	"coordd.dev/internal/park"
)

// A future is a state that a tiny world may come to. What may happen in it: any hold that no
// parked wait names may end; of the waits that can proceed the first in order does, with any
// of its arms that are ready. Nobody cancels, and nobody comes. It shares nothing with the
// machine or its search: it goes through everything.
type future struct {
	calls []*tinyCall
	limit int64 // of the only semaphore
	order int
}

func (f *future) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "limit %d", f.limit)
	for _, c := range f.calls {
		fmt.Fprintf(&b, "\n  %d/%d holds %v commit %d prio %d names %v:", c.id.Session, c.id.Seq, c.holds, c.commit, c.prio, c.names)
		for _, a := range c.arms {
			fmt.Fprintf(&b, " %d%s", a.On.Kind, a.On.Name)
			if a.N > 1 {
				fmt.Fprintf(&b, "*%d", a.N)
			}
			if a.Shared {
				b.WriteString("(shared)")
			}
		}
	}
	return b.String()
}

func (f *future) call(id park.ID) *tinyCall {
	for _, c := range f.calls {
		if c.id == id {
			return c
		}
	}
	return nil
}

// copy is the state as it is, whatever becomes of its calls.
func (f *future) copy() future {
	g := *f
	g.calls = nil
	for _, c := range f.calls {
		d := *c
		g.calls = append(g.calls, &d)
	}
	return g
}

func (c *tinyCall) before(o *tinyCall) bool {
	return c.prio > o.prio || c.prio == o.prio && c.order < o.order
}

// named says whether a parked wait names a hold.
func (f *future) named(h *tinyCall) bool {
	for _, c := range f.calls {
		if !c.holds && slices.Contains(c.names, h.id) {
			return true
		}
	}
	return false
}

// granted is every wait that is granted in some future.
func (f *future) granted() map[park.ID]bool {
	e := &explorer{seen: map[string]bool{}, granted: map[park.ID]bool{}}
	for _, c := range f.calls {
		if !c.holds {
			e.waits++
		}
	}
	e.explore(*f)
	return e.granted
}

type explorer struct {
	seen    map[string]bool
	granted map[park.ID]bool
	waits   int
}

// explore goes on from a state, in every way.
func (e *explorer) explore(f future) {
	if len(e.granted) == e.waits {
		return // all there is to find
	}
	key := f.key()
	if e.seen[key] {
		return
	}
	e.seen[key] = true
	if c, arms := f.first(); c != nil {
		e.granted[c.id] = true
		for _, got := range arms {
			e.explore(f.with(c, &tinyCall{id: c.id, arms: got, holds: true}))
		}
		return
	}
	for _, c := range f.calls {
		if c.holds && !f.named(c) {
			e.explore(f.with(c, nil))
		}
	}
}

// with is the state with another call in the place of one, or none.
func (f *future) with(c, other *tinyCall) future {
	g := future{limit: f.limit}
	for _, o := range f.calls {
		switch {
		case o != c:
			g.calls = append(g.calls, o)
		case other != nil:
			g.calls = append(g.calls, other)
		}
	}
	return g
}

// key tells states apart: who waits, and who holds what.
func (f *future) key() string {
	var b []byte
	for _, c := range f.calls {
		b = append(b, byte(c.id.Session), byte(c.id.Seq))
		if !c.holds {
			continue
		}
		for _, a := range c.arms {
			b = append(b, 0xff, byte(a.On.Kind), a.On.Name[0], byte(a.N))
			if a.Shared {
				b = append(b, 1)
			}
		}
	}
	return string(b)
}

// first is the first wait that can proceed, and what it can then hold; nil if none can.
func (f *future) first() (*tinyCall, [][]park.Arm) {
	var first *tinyCall
	var got [][]park.Arm
	for _, c := range f.calls {
		if c.holds || first != nil && !c.before(first) {
			continue
		}
		if arms := f.ready(c); len(arms) > 0 {
			first, got = c, arms
		}
	}
	return first, got
}

// ready is the ways in which a wait can proceed.
func (f *future) ready(c *tinyCall) (ways [][]park.Arm) {
	for i, a := range c.arms {
		if f.free(c, a) {
			ways = append(ways, c.arms[i:i+1])
		}
	}
	if c.commit != park.Every {
		return ways
	}
	if len(ways) < len(c.arms) {
		return nil
	}
	return [][]park.Arm{c.arms}
}

func (f *future) free(c *tinyCall, a park.Arm) bool {
	permits := a.N
	for _, o := range f.calls {
		for _, b := range o.arms {
			switch {
			case o == c || b.On != a.On:
			case !o.holds:
				if o.before(c) {
					return false
				}
			case a.On.Kind == park.KindSemaphore:
				permits += b.N
			case !a.Shared || !b.Shared:
				return false
			}
		}
	}
	return a.On.Kind != park.KindSemaphore || permits <= f.limit
}

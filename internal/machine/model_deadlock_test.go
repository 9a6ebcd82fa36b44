package machine_test

import (
	"fmt"
	"slices"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What the model knows of deadlocks: one fixpoint over everything there is, for every
// question.

func (c *modelCall) id() park.ID { return park.ID{Session: c.s.id, Seq: c.seq} }

// admitLineage says why a lineage is refused, if it is.
func (m *model) admitLineage(l *park.Lineage) (park.Code, int64) {
	if l == nil {
		return 0, 0
	}
	if len(l.Holds) > 64 {
		return park.Invalid, 64
	}
	seen := map[park.ID]bool{}
	if len(l.Site) > 256 {
		return park.Invalid, 256
	}
	for _, n := range l.Holds {
		if len(n.Site) > 256 {
			return park.Invalid, 256
		}
		if seen[n.ID] || n.ID.Session == 0 || n.ID.Seq == 0 {
			return park.Invalid, 0
		}
		seen[n.ID] = true
	}
	return 0, 0
}

// names is what of a lineage is held.
func (m *model) names(l *park.Lineage) (names []park.ID) {
	if l == nil {
		return nil
	}
	for _, n := range l.Holds {
		for _, c := range m.calls {
			if c.state == held && c.id() == n.ID {
				names = append(names, n.ID)
			}
		}
	}
	return names
}

// stuck is every parked wait that can never proceed.
func (m *model) stuck() map[*modelCall]bool {
	set, promises := map[*modelCall]bool{}, 0
	for _, c := range m.calls {
		if c.state == parked {
			set[c] = true
			promises += len(c.names)
		}
	}
	if promises == 0 {
		return nil
	}
	for {
		n := len(set)
		for c := range set {
			arms := 0
			for _, a := range c.arms {
				if len(m.inTheWay(set, c, a)) > 0 {
					arms++
				}
			}
			if arms == 0 || c.commit != park.Every && arms < len(c.arms) {
				delete(set, c)
			}
		}
		if len(set) == n {
			return set
		}
	}
}

// inTheWay is who of a set of stuck waits is in the way of an arm: who stands ahead, and who
// promises to keep what it cannot do without.
func (m *model) inTheWay(set map[*modelCall]bool, c *modelCall, a park.Arm) (all []*modelCall) {
	if isCond(a) || a.On.Kind == park.KindWaitGroup || isChan(a.On.Kind) { // anybody may signal, settle, send or receive
		return nil
	}
	var keepers []*modelCall
	kept := int64(0)
	for _, o := range m.calls {
		for _, b := range o.arms {
			if b.On != a.On {
				continue
			}
			if set[o] && before(o, c) < 0 && a.Side == b.Side {
				all = append(all, o)
			}
			if o.state != held || o.free != 0 || a.Shared && b.Shared {
				continue
			}
			promised := false
			for w := range set {
				if slices.Contains(w.names, o.id()) {
					keepers = append(keepers, w)
					promised = true
				}
			}
			if promised {
				kept += b.N
			}
		}
	}
	if a.On.Kind != park.KindSemaphore || kept > m.limits[a.On].limit-a.N {
		all = append(all, keepers...)
	}
	return all
}

// cycle is how many waits the shortest cycle through a stuck wait has; 0 if there is none.
func (m *model) cycle(c *modelCall) int {
	set := m.stuck()
	if !set[c] {
		return 0
	}
	reached := map[*modelCall]bool{}
	for at, n := []*modelCall{c}, 1; len(at) > 0; n++ {
		var next []*modelCall
		for _, from := range at {
			for _, a := range from.arms {
				for _, to := range m.inTheWay(set, from, a) {
					if to == c {
						return n
					}
					if !reached[to] {
						reached[to] = true
						next = append(next, to)
					}
				}
			}
		}
		at = next
	}
	return 0
}

// deadlocked refuses a wait that could never proceed. It reports whether it did.
func (m *model) deadlocked(c *modelCall) bool {
	n := m.cycle(c)
	if n == 0 {
		return false
	}
	c.state = closed
	m.seen[fmt.Sprintf("deadlock of %d", min(n, 3))]++
	m.unaryState(c.s, "unary deadlock")
	if len(c.names) == 0 {
		m.seen["deadlock by a wait without a lineage"]++
	}
	m.tell("deadlock %v/%d %q of %d", c.s.id, c.seq, c.s.name(c.seq), n)
	m.conclude(c.s, c.seq, modelResult{code: park.Deadlock})
	return true
}

// lineage is one of a session's wait: mostly of what it holds.
func (h *history) lineage(s park.SessionID) *park.Lineage {
	if h.intn(3) == 0 {
		return nil
	}
	l := &park.Lineage{}
	if h.intn(2) == 0 {
		l.Site = fmt.Sprint("a.go:", h.intn(99))
	}
	for _, c := range h.model.calls {
		if c.state == held && (c.s.id == s && h.intn(8) > 0 || h.intn(20) == 0) {
			l.Holds = append(l.Holds, park.Named{ID: c.id(), Site: fmt.Sprint("b.go:", h.intn(99))})
		}
	}
	switch h.intn(60) {
	case 0:
		l.Holds = append(l.Holds, park.Named{ID: park.ID{Session: s, Seq: park.Seq(h.intn(9))}})
	case 1:
		l.Site = strings.Repeat("s", 257)
	case 2:
		for n := range 65 - h.intn(2) {
			l.Holds = append(l.Holds, park.Named{ID: park.ID{Session: 1 << 40, Seq: park.Seq(n + 1)}})
		}
	}
	if l.Empty() {
		return nil
	}
	return l
}

// cycleLength is how many waits a cycle has that is told.
func cycleLength(cycle []machine.CycleWait) int {
	n := len(cycle)
	for _, c := range cycle {
		n += c.Skipped
	}
	return n
}

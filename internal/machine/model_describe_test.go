package machine_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What the model says of objects and sessions.

func (m *model) describe(s *modelSession, op *machine.Op) {
	d := m.description(op.On, 100, 100)
	if !m.exists(op.On) {
		m.outcome(s, op.Seq, park.NotFound, 0)
		return
	}
	if len(d.Holders) > 0 && len(d.Waiters) > 0 {
		m.seen["described holders and waiters"]++
	}
	m.described(s, op.Seq, park.Done, 0, d)
}

// exists says whether there is anything to say of an object.
func (m *model) exists(on park.Object) bool {
	return m.limits[on] != nil || slices.Contains(m.stored(), on) || slices.ContainsFunc(m.calls, func(c *modelCall) bool {
		return (c.state == held || c.state == parked) &&
			slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On == on })
	})
}

// stored is all that there is although nobody may hold it or wait for it, but for semaphores.
func (m *model) stored() []park.Object {
	return slices.Concat(m.latches(), m.channels(), m.mapNames())
}

func (m *model) described(s *modelSession, seq park.Seq, code park.Code, arm int, d machine.Description) {
	m.tell("outcome %v/%d %q code %d arm %d: %+v", s.id, seq, s.name(seq), code, arm, d)
	m.conclude(s, seq, modelResult{code: code})
}

// describeObject is the command.
func (m *model) describeObject(on park.Object) {
	if !m.exists(on) {
		m.seen["described nothing"]++
	}
	m.seen[fmt.Sprintf("described kind %d", on.Kind)]++
	m.tell("object %+v", m.description(on, 100, 100))
}

// list is the command: all objects there are, those that were not asked for left out.
func (m *model) list(l *machine.List) {
	var all []park.Object
	for _, c := range m.calls {
		if c.state == held || c.state == parked {
			for _, a := range c.arms {
				all = append(all, a.On)
			}
		}
	}
	for on := range m.limits {
		all = append(all, on)
	}
	all = append(all, m.stored()...)
	order := func(a, b park.Object) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	}
	slices.SortFunc(all, order)
	all = slices.Compact(all)
	all = slices.DeleteFunc(all, func(on park.Object) bool {
		return l.Kind != 0 && l.Kind != on.Kind || !strings.HasPrefix(on.Name, l.Prefix) || order(on, l.After) <= 0
	})
	out := machine.ObjectList{Index: m.index, Revision: m.revision}
	if n := int(max(l.Max, 1)); len(all) > n {
		all, out.More = all[:n], true
		m.seen["listed a page"]++
	}
	if l.Kind == 0 && len(all) > 1 && all[0].Kind != all[len(all)-1].Kind {
		m.seen["listed several kinds"]++
	}
	for _, on := range all {
		d := m.description(on, 1_000, 0)
		s := machine.Summary{On: on, Holders: int64(len(d.Holders)), Waiting: d.Waiting, Stored: d.Stored, Traits: d.Traits}
		if first := m.description(on, 1, 0); len(first.Holders) > 0 {
			s.Holder = &first.Holders[0]
		}
		out.Objects = append(out.Objects, s)
	}
	m.tell("list %s", printedList(out))
}

// description tells of the first so many holders by their ids, those who hold for
// longest first, and of the first so many in the queue.
func (m *model) description(on park.Object, holders, waiters int) machine.Description {
	d := machine.Description{On: on, Index: m.index, Revision: m.revision}
	if l := m.limits[on]; l != nil {
		d.Limit, d.Stored = l.limit, true
	}
	m.describeLatch(&d)
	m.describeChan(&d)
	m.describeMap(&d)
	byID := slices.SortedFunc(slices.Values(m.calls), func(a, b *modelCall) int {
		return cmp.Or(cmp.Compare(a.s.id, b.s.id), cmp.Compare(a.seq, b.seq))
	})
	for _, c := range byID {
		for _, a := range c.arms {
			switch {
			case a.On != on:
			case c.state == parked:
				d.Waiting++
			case c.state == held:
				if on.Kind == park.KindSemaphore {
					d.Held += a.N
				}
				if p := m.party(c, a); len(d.Holders) < holders {
					p.Token, p.Value = c.token, a.Value
					if c.free != 0 {
						p.Delayed = c.free - m.clock
					}
					d.Holders = append(d.Holders, p)
				}
			}
		}
	}
	slices.SortStableFunc(d.Holders, func(a, b machine.Party) int { return cmp.Compare(b.For, a.For) })
	for _, side := range []park.Side{park.Alone, park.Send, park.Recv} {
		for _, c := range m.stand(on, side) {
			if len(d.Waiters) < waiters {
				i := slices.IndexFunc(c.arms, func(a park.Arm) bool { return a.On == on })
				p := m.party(c, c.arms[i])
				p.Side = side
				if p.Prio = c.prio; on.Kind == park.KindElection {
					p.Value = c.arms[i].Value
				}
				d.Waiters = append(d.Waiters, p)
			}
		}
	}
	return d
}

// queues is who waits on an object, one side after the other. Who stands on two comes twice.
func (m *model) queues(on park.Object) (q []*modelCall) {
	for _, side := range []park.Side{park.Alone, park.Send, park.Recv} {
		q = append(q, m.stand(on, side)...)
	}
	return q
}

// stand is who waits on one side of an object.
func (m *model) stand(on park.Object, side park.Side) []*modelCall {
	return slices.DeleteFunc(m.queue(on), func(c *modelCall) bool {
		return !slices.ContainsFunc(c.arms, func(a park.Arm) bool { return a.On == on && a.Side == side })
	})
}

func (m *model) party(c *modelCall, a park.Arm) machine.Party {
	return machine.Party{
		Session: c.s.id, Who: c.s.who, Note: c.note, Trace: c.trace, Shared: a.Shared, N: a.N, For: m.clock - c.since,
		Renewed: m.clock - c.s.stamp, TTL: c.s.ttl,
	}
}

// listSessions tells of the live sessions.
func (m *model) listSessions() {
	list := machine.SessionList{Index: m.index}
	for _, s := range m.sessions {
		if s.over {
			continue
		}
		info := machine.SessionInfo{
			ID: s.id, Who: s.who, TTL: s.ttl, Remaining: s.stamp + s.ttl - m.clock, Revoked: s.revoked,
		}
		for _, c := range m.calls {
			switch {
			case c.s == s && c.state == held:
				info.Holds++
			case c.s == s && c.state == parked:
				info.Waits++
			}
		}
		list.Sessions = append(list.Sessions, info)
	}
	m.tell("sessions %+v", list)
}

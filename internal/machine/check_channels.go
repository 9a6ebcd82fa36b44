package machine

import (
	"coordd.dev/channel"
	"coordd.dev/internal/park"
)

// channels checks what the room cannot know: that it agrees with the holds (J1), and that the
// queues of each channel are as its state allows (J3, J6, J10). It looks at all waiters, and
// shares nothing with what decides who proceeds.
func (c *checker) channels() {
	m := c.m
	c.faults = append(c.faults, m.channels.Check(func(id park.ID, on park.Object) bool {
		return c.holding(id, on, 1)
	}, c.arms(park.KindChan))...)
	lent := map[park.SessionID]int64{}
	for id, n := range m.channels.Delivered() {
		lent[id.Session] += int64(n)
	}
	for s, st := range m.book.Sessions() {
		if st.Lent() != lent[s] {
			c.failf(7, "session %v holds elements of %d bytes, counted as %d", s, lent[s], st.Lent())
		}
	}
	queues := map[park.Object]*chanQueues{}
	for id, w := range m.lot.All() {
		for _, a := range w.Arms {
			if a.On.Kind != park.KindChan {
				continue
			}
			if queues[a.On] == nil {
				queues[a.On] = &chanQueues{}
			}
			queues[a.On].add(id, w, a)
			if code, value := m.channels.Misfit(a); code != 0 {
				c.failf(6, "%v waits on %v, which it cannot have: %d, %d", id, a.On, code, value)
			}
		}
	}
	// order-free: which fault is named first does not matter
	for on, q := range queues {
		c.queues(on, q)
	}
	for on, ok := m.channels.First(park.Object{}); ok; on, ok = m.channels.First(on.Next()) {
		if t, _ := m.channels.Traits(on); queues[on] == nil && t.State == 0 && t.Held == 0 {
			c.failf(10, "%v is open and empty, and nobody waits for it", on)
		}
	}
}

// chanQueues are who waits on a channel.
type chanQueues struct {
	senders, receivers int // arms
	who                map[park.ID]bool
	first              park.Waiter // of the senders
	value              string      // of its first arm
}

func (q *chanQueues) add(id park.ID, w park.Waiter, a park.Arm) {
	if q.who == nil {
		q.who = map[park.ID]bool{}
	}
	q.who[id] = true
	if a.Side == park.Recv {
		q.receivers++
		return
	}
	if q.senders++; q.senders == 1 || turnOf(&w).Compare(turnOf(&q.first)) < 0 {
		q.first, q.value = w, a.Value
	}
}

func (c *checker) queues(on park.Object, q *chanQueues) {
	t, there := c.m.channels.Traits(on)
	free := there && t.Held < t.Limit
	switch {
	case !there: // nobody has said its capacity
	case t.State == park.ChannelClosed && q.senders > 0:
		c.failf(6, "%v is closed, and %d senders wait", on, q.senders)
	case t.State == park.ChannelClosed && t.Held == 0:
		c.failf(3, "%v is closed and empty, and %d receivers wait", on, q.receivers)
	case t.Limit == 0 && q.senders > 0 && q.receivers > 0 && len(q.who) > 1:
		c.failf(3, "%v: %d senders and %d receivers of %d waiters do not meet", on, q.senders, q.receivers, len(q.who))
	case q.receivers > 0 && t.Held > t.Unacked:
		c.failf(3, "%v has %d elements, and %d receivers wait", on, t.Held-t.Unacked, q.receivers)
	case q.senders > 0 && free && t.Bytes+int64(len(q.value)) <= channel.MaxBytes:
		c.failf(3, "%v has room for the first of %d senders", on, q.senders)
	}
}

package park

import "fmt"

// Check compares the queues with what the waiters say of themselves.
func (l *Lot) Check() error {
	places, queued, names, bytes := 0, map[Object]int64{}, 0, int64(0)
	tickets := map[uint64]ID{}
	for id, w := range l.waiters.All() {
		if other, taken := tickets[w.Ticket]; taken || w.Ticket == 0 || w.Ticket > l.last {
			return fmt.Errorf("ticket %d of %v: also %v; the last is %d", w.Ticket, id, other, l.last)
		}
		tickets[w.Ticket] = id
		for i, a := range w.Arms {
			if at, ok := l.places.Get(w.place(i)); !ok || at != id {
				return fmt.Errorf("waiter %v is not on the queue of %v", id, a.On)
			}
			places++
			queued[a.On]++
		}
		for _, n := range w.names() {
			if _, ok := l.named.Get(naming{n.ID, id}); !ok {
				return fmt.Errorf("waiter %v is not among those that name %v", id, n.ID)
			}
			names++
		}
		bytes += ValueBytes(w.Arms)
	}
	if l.places.Len() != places || l.queued.Len() != len(queued) {
		return fmt.Errorf("%d places of %d objects, should be %d of %d",
			l.places.Len(), l.queued.Len(), places, len(queued))
	}
	if l.named.Len() != names {
		return fmt.Errorf("%d names of holds, should be %d", l.named.Len(), names)
	}
	for on, n := range l.queued.All() {
		if queued[on] != n {
			return fmt.Errorf("%d wait on %v, counted as %d", queued[on], on, n)
		}
	}
	if l.bytes != bytes {
		return fmt.Errorf("%d bytes of values wait, counted as %d", bytes, l.bytes)
	}
	return nil
}

// CheckSum compares the running hash with a recomputation.
func (l *Lot) CheckSum() error { return l.waiters.Check() }

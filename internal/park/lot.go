package park

import (
	"cmp"
	"iter"

	"coordd.dev/internal/cow"
)

// A Waiter is a parked call. Its arms are never changed in place.
type Waiter struct {
	Arms   []Arm
	Commit Commit
	Prio   int32
	Ticket uint64 // from Lot.Ticket
	Since  Clock
	Until  Clock // when its wait limit passes; 0 is never
	Terms  *Terms
}

// Terms are what only some calls come with, to wait and then to hold. Most have none of it,
// which is nil, so that a million holds do not pay for it. They are never changed in place.
type Terms struct {
	Delay int64 // lock-delay of the hold, nanoseconds
	Note  string
	Trace string // opaque: the span of the hold

	Lineage *Lineage // of waits only; a hold has none
}

// NewTerms returns the terms; nil if there are none.
func NewTerms(t Terms) *Terms {
	if t == (Terms{}) {
		return nil
	}
	return &t
}

// Get returns the terms, all zero if there are none.
func (t *Terms) Get() Terms {
	if t == nil {
		return Terms{}
	}
	return *t
}

// A Lot has all waiters and their queues. Make it with NewLot.
type Lot struct {
	waiters cow.Table[ID, Waiter]
	last    uint64 // ticket

	// Derived from waiters.
	places cow.Index[place, ID]
	queued cow.Index[Object, int64] // places, an object
	named  cow.Index[naming, struct{}]
	bytes  int64 // of the values of all arms
}

// A place is where an arm of a waiter stands.
type place struct {
	on     Object
	side   Side
	prio   int32
	ticket uint64
	arm    int
}

func (a place) Compare(b place) int {
	if c := a.on.Compare(b.on); c != 0 {
		return c
	}
	if c := cmp.Compare(a.side, b.side); c != 0 {
		return c
	}
	if c := cmp.Compare(b.prio, a.prio); c != 0 { // higher first
		return c
	}
	if c := cmp.Compare(a.ticket, b.ticket); c != 0 {
		return c
	}
	return cmp.Compare(a.arm, b.arm)
}

// top is before every place on a side of an object.
func top(on Object, side Side) place { return place{on: on, side: side, prio: maxPrio} }

const maxPrio = 1<<31 - 1

// NewLot returns a lot where nobody waits.
func NewLot() Lot {
	return Lot{
		waiters: cow.NewTable[ID, Waiter](),
		places:  cow.NewIndex[place, ID](),
		queued:  cow.NewIndex[Object, int64](),
		named:   cow.NewIndex[naming, struct{}](),
	}
}

// Ticket returns the next ticket.
func (l *Lot) Ticket() uint64 {
	l.last++
	return l.last
}

// LastTicket is the last ticket given out.
func (l *Lot) LastTicket() uint64 { return l.last }

// Park makes w wait on all its queues. id must not wait yet.
func (l *Lot) Park(id ID, w Waiter) {
	if _, had := l.waiters.Put(id, w); had {
		panic("park: the call waits already")
	}
	l.enqueue(id, w)
}

func (l *Lot) enqueue(id ID, w Waiter) {
	for i, a := range w.Arms {
		if _, had := l.places.Put(w.place(i), id); had {
			panic("park: the place is taken")
		}
		n, _ := l.queued.Get(a.On)
		l.queued.Put(a.On, n+1)
	}
	for _, n := range w.names() {
		l.named.Put(naming{n.ID, id}, struct{}{})
	}
	l.bytes += ValueBytes(w.Arms)
}

// Leave takes id off all its queues. Then it calls headed for each arm that stood at the
// head of a queue. ok is false if id does not wait.
func (l *Lot) Leave(id ID, headed func(Object, Side)) (w Waiter, ok bool) {
	w, ok = l.waiters.Delete(id)
	if !ok {
		return w, false
	}
	var few [8]int
	heads := few[:0]
	for i, a := range w.Arms {
		if head, _ := l.Head(a.On, a.Side); head == id {
			heads = append(heads, i)
		}
	}
	for i, a := range w.Arms {
		l.places.Delete(w.place(i))
		if n, _ := l.queued.Get(a.On); n > 1 {
			l.queued.Put(a.On, n-1)
		} else {
			l.queued.Delete(a.On)
		}
	}
	for _, n := range w.names() {
		l.named.Delete(naming{n.ID, id})
	}
	l.bytes -= ValueBytes(w.Arms)
	for _, i := range heads {
		headed(w.Arms[i].On, w.Arms[i].Side)
	}
	return w, true
}

// Get returns a waiter.
func (l *Lot) Get(id ID) (Waiter, bool) { return l.waiters.Get(id) }

// Head returns who stands first on one of an object's queues.
func (l *Lot) Head(on Object, side Side) (ID, bool) {
	p, id, ok := l.places.First(top(on, side))
	if !ok || p.on != on || p.side != side {
		return ID{}, false
	}
	return id, true
}

// Peer returns who stands first on one of an object's queues, other than id.
func (l *Lot) Peer(on Object, side Side, id ID) (peer ID, ok bool) {
	for p, other := range l.places.From(top(on, side)) {
		if p.on != on || p.side != side {
			break
		}
		if other != id {
			return other, true
		}
	}
	return ID{}, false
}

// Ahead reports whether anybody but peer stands before (prio, ticket) on one of an object's
// queues. A waiter's own arms do not.
func (l *Lot) Ahead(on Object, side Side, prio int32, ticket uint64, peer ID) bool {
	here := place{on: on, side: side, prio: prio, ticket: ticket}
	for p, id := range l.places.From(top(on, side)) {
		if p.Compare(here) >= 0 {
			return false
		}
		if id != peer {
			return true
		}
	}
	return false
}

// Queue yields who waits on an object, in order, one of its queues after the other. Who
// stands on two of them comes twice.
func (l *Lot) Queue(on Object) iter.Seq2[ID, Waiter] {
	return func(yield func(ID, Waiter) bool) {
		var last ID // the arms of one waiter on one queue stand side by side
		var side Side
		for p, id := range l.places.From(top(on, Alone)) {
			if p.on != on {
				return
			}
			if id == last && p.side == side {
				continue
			}
			last, side = id, p.side
			if w, _ := l.waiters.Get(id); !yield(id, w) {
				return
			}
		}
	}
}

// Of yields the waits of a session, by seq.
func (l *Lot) Of(s SessionID) iter.Seq2[ID, Waiter] {
	return func(yield func(ID, Waiter) bool) {
		for id, w := range l.waiters.From(ID{Session: s}) {
			if id.Session != s || !yield(id, w) {
				return
			}
		}
	}
}

// All yields all waiters, by id.
func (l *Lot) All() iter.Seq2[ID, Waiter] { return l.waiters.All() }

// First returns the first object, from the given one on, that somebody waits for.
func (l *Lot) First(from Object) (Object, bool) {
	on, _, ok := l.queued.First(from)
	return on, ok
}

// Waiting is how many arms wait on an object.
func (l *Lot) Waiting(on Object) int64 {
	n, _ := l.queued.Get(on)
	return n
}

// Parked is how many arms wait on all objects.
func (l *Lot) Parked() int { return l.places.Len() }

// Bytes is how long the values of all arms that wait are together.
func (l *Lot) Bytes() int64 { return l.bytes }

// Len is how many wait.
func (l *Lot) Len() int { return l.waiters.Len() }

// Sum is the hash of all waiters.
func (l *Lot) Sum() uint64 { return l.waiters.Sum() }

// Copy returns a copy, in O(1).
func (l *Lot) Copy() Lot {
	return Lot{
		waiters: l.waiters.Copy(), last: l.last,
		places: l.places.Copy(), queued: l.queued.Copy(), named: l.named.Copy(), bytes: l.bytes,
	}
}

func (w *Waiter) place(arm int) place {
	return place{on: w.Arms[arm].On, side: w.Arms[arm].Side, prio: w.Prio, ticket: w.Ticket, arm: arm}
}

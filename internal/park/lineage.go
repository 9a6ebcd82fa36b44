package park

import (
	"cmp"
	"iter"

	"coordd.dev/internal/wire"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	MaxLineage = 64  // holds that a wait names
	MaxSite    = 256 // bytes of a place in a program
)

// A Lineage is what a wait says of the context that it is made with: it promises to keep
// the holds that it names until it ends (SEMANTICS G1). It is never changed in place.
type Lineage struct {
	Site  string // where it waits, file:line
	Holds []Named
}

// A Named is a hold that a wait names.
type Named struct {
	ID   ID
	Site string // where it was acquired, file:line
}

// Empty reports whether nothing is said.
func (l *Lineage) Empty() bool { return l == nil || l.Site == "" && len(l.Holds) == 0 }

// Held returns what a hold keeps of the terms of its wait: all but the lineage, which is
// about the wait and would cost every hold.
func (t *Terms) Held() *Terms {
	if t == nil || t.Lineage == nil {
		return t
	}
	held := *t
	held.Lineage = nil
	return NewTerms(held)
}

// AppendLineage appends the encoding of a lineage that is not empty.
func AppendLineage(b []byte, l *Lineage) []byte {
	b = wire.AppendString(b, l.Site)
	b = wire.AppendUint(b, uint64(len(l.Holds)))
	for _, n := range l.Holds {
		b = wire.AppendString(n.ID.Append(b), n.Site)
	}
	return b
}

// DecodeLineage takes a lineage.
func DecodeLineage(d *wire.Decoder) *Lineage {
	l := &Lineage{Site: d.String()}
	n := d.Len()
	if n > 0 {
		l.Holds = make([]Named, 0, min(n, MaxLineage))
	}
	for i := 0; i < n && !d.Failed(); i++ {
		l.Holds = append(l.Holds, Named{DecodeID(d), d.String()})
	}
	if l.Empty() {
		d.Fail("an empty lineage")
	}
	return l
}

// A naming is a hold that a wait names.
type naming struct{ hold, wait ID }

func (a naming) Compare(b naming) int {
	return cmp.Or(a.hold.Compare(b.hold), a.wait.Compare(b.wait))
}

// names returns the holds that a waiter names.
func (w *Waiter) names() []Named {
	if w.Terms == nil || w.Terms.Lineage == nil {
		return nil
	}
	return w.Terms.Lineage.Holds
}

// Naming yields the waits that name a hold, by id.
func (l *Lot) Naming(hold ID) iter.Seq[ID] {
	return func(yield func(ID) bool) {
		for n := range l.named.From(naming{hold: hold}) {
			if n.hold != hold || !yield(n.wait) {
				return
			}
		}
	}
}

// Named reports whether any wait names a hold.
func (l *Lot) Named(hold ID) bool {
	n, _, ok := l.named.First(naming{hold: hold})
	return ok && n.hold == hold
}

// Names is how many holds all waits name.
func (l *Lot) Names() int { return l.named.Len() }

// Before returns who stands next before (prio, ticket) on one of an object's queues.
func (l *Lot) Before(on Object, side Side, prio int32, ticket uint64) (ID, bool) {
	p, id, ok := l.places.Last(place{on: on, side: side, prio: prio, ticket: ticket, arm: -1})
	return id, ok && p.on == on && p.side == side
}

// Behind returns who stands next behind (prio, ticket) on one of an object's queues.
func (l *Lot) Behind(on Object, side Side, prio int32, ticket uint64) (ID, bool) {
	p, id, ok := l.places.First(place{on: on, side: side, prio: prio, ticket: ticket, arm: maxArm})
	return id, ok && p.on == on && p.side == side
}

const maxArm = 1<<31 - 1

package latch

import (
	"cmp"
	"iter"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	// MaxCount is the highest counter of a wait group, sync's.
	MaxCount = 1<<31 - 1

	// MaxGroups bounds the records of the room: balances and cut groups.
	MaxGroups = 1_000_000

	// MaxShares bounds the balances of a session, so that its end, which returns them all,
	// is not much work. One Add that settles can end one balance of each session that lives,
	// since a session has one in a group: package machine bounds these.
	MaxShares = 10_000
)

// Groups is the room of wait groups. Make it with NewGroups.
type Groups struct {
	balances cow.Table[turn, balance]
	cut      cow.Table[park.Object, mark]

	// Derived from the balances: what a group counts, the orders of a session's, and how many
	// it has.
	counters cow.Index[park.Object, int64]
	orders   cow.Index[share, uint64]
	shares   cow.Index[owner, int]
}

// An owner is a session as a key.
type owner park.SessionID

// Compare orders owners by id.
func (a owner) Compare(b owner) int { return cmp.Compare(a, b) }

// A turn is a balance's place in its group. They are settled in this order.
type turn struct {
	on    park.Object
	order uint64
}

// Compare orders turns by group, so that a group's are a range.
func (a turn) Compare(b turn) int {
	if c := a.on.Compare(b.on); c != 0 {
		return c
	}
	return cmp.Compare(a.order, b.order)
}

// A balance is what a session has added and nobody has settled.
type balance struct {
	session park.SessionID
	n       int64
}

// A share names a balance by whose it is.
type share struct {
	session park.SessionID
	on      park.Object
}

// Compare orders shares by session, so that a session's are a range.
func (a share) Compare(b share) int {
	if c := cmp.Compare(a.session, b.session); c != 0 {
		return c
	}
	return a.on.Compare(b.on)
}

// A mark is a record that says only that it is there.
type mark struct{}

// NewGroups returns a room where all counters are at zero.
func NewGroups() Groups {
	return Groups{
		balances: cow.NewTable[turn, balance](),
		cut:      cow.NewTable[park.Object, mark](),
		counters: cow.NewIndex[park.Object, int64](),
		orders:   cow.NewIndex[share, uint64](),
		shares:   cow.NewIndex[owner, int](),
	}
}

// Add adds to a session's balance, or settles balances if delta is negative: the session's
// own, then the oldest of others. It returns the counter. order is greater than in all
// calls before, so that it tells which balance became positive first.
//
// An Add at zero begins a new round, which is not cut. To settle more than the counter is
// Invalid, with the counter, and changes nothing; of a cut group, part of whose counter
// was returned, what there is is settled.
func (g *Groups) Add(s park.SessionID, on park.Object, delta int64, order uint64) (park.Code, int64) {
	count, _ := g.counters.Get(on)
	switch {
	case !park.ValidName(on.Name):
		return park.Invalid, park.MaxName
	case on.Kind != park.KindWaitGroup:
		return park.Invalid, 0
	case delta > MaxCount-count:
		return park.Invalid, MaxCount
	case delta < -count && !g.isCut(on):
		return park.Invalid, count
	}
	if delta > 0 {
		if limit := g.raise(s, on, delta, order); limit != 0 {
			return park.Limit, limit
		}
		return park.Done, count + delta
	}
	settled := -max(delta, -count)
	g.settle(s, on, settled)
	return park.Done, count - settled
}

// raise adds n to a session's balance. It returns the limit that leaves no place for it, 0
// if there was one.
func (g *Groups) raise(s park.SessionID, on park.Object, n int64, order uint64) (limit int64) {
	if last, ok := g.orders.Get(share{s, on}); ok {
		b, _ := g.balances.Get(turn{on, last})
		g.balances.Put(turn{on, last}, balance{s, b.n + n})
		g.count(on, n)
		return 0
	}
	shares, _ := g.shares.Get(owner(s))
	if shares >= MaxShares {
		return MaxShares
	}
	// A cut that is forgotten leaves its place to the balance, so that who is refused
	// below has not changed anything.
	if _, counts := g.counters.Get(on); !counts {
		g.cut.Delete(on)
	}
	if g.balances.Len()+g.cut.Len() >= MaxGroups {
		return MaxGroups
	}
	if _, had := g.balances.Put(turn{on, order}, balance{s, n}); had {
		panic("latch: two balances of a group have the same order")
	}
	g.orders.Put(share{s, on}, order)
	g.shares.Put(owner(s), shares+1)
	g.count(on, n)
	return 0
}

// settle takes n, at most the counter, from a session's own balance and then from others.
func (g *Groups) settle(s park.SessionID, on park.Object, n int64) {
	if own, ok := g.orders.Get(share{s, on}); ok && n > 0 {
		n -= g.take(turn{on, own}, n)
	}
	for n > 0 {
		oldest, ok := g.balances.First(turn{on: on})
		if !ok || oldest.on != on {
			panic("latch: the counter is above its balances")
		}
		n -= g.take(oldest, n)
	}
}

// take takes n from a balance, or all it has, and returns how much that was.
func (g *Groups) take(at turn, n int64) int64 {
	b, ok := g.balances.Get(at)
	if !ok {
		panic("latch: no balance has that order")
	}
	n = min(n, b.n)
	if n < b.n {
		g.balances.Put(at, balance{b.session, b.n - n})
	} else {
		g.balances.Delete(at)
		g.orders.Delete(share{b.session, at.on})
		if shares, _ := g.shares.Get(owner(b.session)); shares > 1 {
			g.shares.Put(owner(b.session), shares-1)
		} else {
			g.shares.Delete(owner(b.session))
		}
	}
	g.count(at.on, -n)
	return n
}

func (g *Groups) count(on park.Object, n int64) {
	count, _ := g.counters.Get(on)
	if count += n; count > 0 {
		g.counters.Put(on, count)
	} else {
		g.counters.Delete(on)
	}
}

// Leave returns what a session that ends has not settled and cuts the groups. It returns
// them in order; those at zero now may have waiters to wake.
func (g *Groups) Leave(s park.SessionID) []park.Object {
	var left []turn
	for at, order := range g.orders.From(share{session: s}) {
		if at.session != s {
			break
		}
		left = append(left, turn{at.on, order})
	}
	groups := make([]park.Object, 0, len(left))
	for _, at := range left {
		g.take(at, MaxCount)
		g.cut.Put(at.on, mark{})
		groups = append(groups, at.on)
	}
	return groups
}

// Admit says whether an arm may be asked for at all: 0 if so, else why not, with the
// limit that was met. An arm is a Wait.
func (g *Groups) Admit(a park.Arm) (park.Code, int64) {
	switch {
	case !park.ValidName(a.On.Name):
		return park.Invalid, park.MaxName
	case a.On.Kind != park.KindWaitGroup || a != park.Arm{On: a.On, N: 1}:
		return park.Invalid, 1
	}
	return 0, 0
}

// Ready says whether a Wait can return now.
func (g *Groups) Ready(a park.Arm) park.Verdict {
	if _, counts := g.counters.Get(a.On); counts {
		return park.No
	}
	return park.Yes
}

// Commit lets a ready Wait return. It takes nothing: later ones return too.
func (g *Groups) Commit(_ park.ID, a park.Arm, _ int32, _ *park.Arm) park.Result {
	if g.Ready(a) != park.Yes {
		panic("latch: the counter is not at zero")
	}
	if g.isCut(a.On) {
		return park.Result{Code: park.CutShort}
	}
	return park.Result{Code: park.Done}
}

// Exclusive is false: a wait group is not held.
func (g *Groups) Exclusive(park.Arm) bool { return false }

// Release panics: a wait group is not held.
func (g *Groups) Release(park.ID, park.Arm, int64) { panic("latch: a wait group is not held") }

// Held panics: a wait group is not held.
func (g *Groups) Held(park.ID, park.Arm) park.Result { panic("latch: a wait group is not held") }

// Holders yields nobody: a wait group is not held.
func (g *Groups) Holders(park.Object) iter.Seq[park.ID] { return func(func(park.ID) bool) {} }

// Tidy does nothing: a group that may be forgotten is forgotten at once.
func (g *Groups) Tidy(park.Object) {}

// Delete forgets a cut of a group at zero. A group that counts is used by those who have
// added to it.
func (g *Groups) Delete(on park.Object) (park.Code, int64) {
	if count, counts := g.counters.Get(on); counts {
		return park.Busy, count
	}
	if _, had := g.cut.Delete(on); had {
		return park.Done, 0
	}
	return park.NotFound, 0
}

// Traits returns what a group is.
func (g *Groups) Traits(on park.Object) (park.Traits, bool) {
	count, counts := g.counters.Get(on)
	traits := park.Traits{Held: count}
	cut := g.isCut(on)
	if cut {
		traits.State = park.GroupCut
	}
	return traits, counts || cut
}

func (g *Groups) isCut(on park.Object) bool {
	_, cut := g.cut.Get(on)
	return cut
}

// Balances yields the balances of a group, the oldest first. There may be MaxGroups of them.
func (g *Groups) Balances(on park.Object) iter.Seq2[park.SessionID, int64] {
	return func(yield func(park.SessionID, int64) bool) {
		for at, b := range g.balances.From(turn{on: on}) {
			if at.on != on || !yield(b.session, b.n) {
				return
			}
		}
	}
}

// First returns the first group, from the given one on, that counts or is cut.
func (g *Groups) First(from park.Object) (park.Object, bool) {
	counting, _, counts := g.counters.First(from)
	cut, isCut := g.cut.First(from)
	return least(counting, counts, cut, isCut)
}

// Copy returns a copy, in O(1).
func (g *Groups) Copy() Groups {
	return Groups{g.balances.Copy(), g.cut.Copy(), g.counters.Copy(), g.orders.Copy(), g.shares.Copy()}
}

// least returns the lesser of two objects that may be there.
func least(a park.Object, hasA bool, b park.Object, hasB bool) (park.Object, bool) {
	if hasB && (!hasA || b.Compare(a) < 0) {
		return b, true
	}
	return a, hasA
}

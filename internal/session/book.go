package session

import (
	"iter"
	"time"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	// Grace is how long an ended session's results stay, in nanoseconds.
	Grace = int64(time.Minute)

	// MaxOpen bounds the parked, held and kept calls of a session.
	MaxOpen = 65_536

	// MaxBytes bounds the data of a session's kept results and of what it holds, the last one
	// apart: all of it is sent again when the session attaches.
	MaxBytes = 4 << 20
)

// A Book has all sessions. Make it with NewBook.
type Book struct {
	leases cow.Table[number, *Lease]
	states cow.Table[number, State]
	holds  cow.Table[park.ID, Hold]
	kept   cow.Table[park.ID, Kept]
	last   park.SessionID
	desk   desk

	requests requests // of the sessions without a stream

	// Derived. A session's alarm stands where its state says.
	live   int64 // sessions that are not over
	alarms cow.Index[alarm, struct{}]
}

// A desk has the state that was last worked on. It is filed back into its table when
// another one is wanted, so that the many small changes of an entry to one session cost
// one write and one hash. Every method that reads the table itself files first; and even
// one that only reads a state may move it, so that a Book, its copies apart, has one
// owner.
type desk struct {
	of      park.SessionID // 0 is none
	state   State
	changed bool
}

// NewBook returns a book without sessions.
func NewBook() Book {
	return Book{
		leases: cow.NewTable[number, *Lease](),
		states: cow.NewTable[number, State](),
		holds:  cow.NewTable[park.ID, Hold](),
		kept:   cow.NewTable[park.ID, Kept](),
		alarms: cow.NewIndex[alarm, struct{}](),

		requests: newRequests(),
	}
}

// Open begins a session at clock, on the stream of epoch; 0 is a unary one.
func (b *Book) Open(l Lease, epoch uint64, clock park.Clock) park.SessionID {
	b.last++
	b.leases.Put(number(b.last), &l)
	b.file()
	b.desk = desk{of: b.last, state: State{Epoch: epoch, Stamp: clock, lease: &l}, changed: true}
	b.live++
	b.place(b.last, clock+park.Clock(l.TTL))
	return b.last
}

// Last is the last session that was opened.
func (b *Book) Last() park.SessionID { return b.last }

// Skip has the next session numbered after last, if none so far has been.
func (b *Book) Skip(last park.SessionID) { b.last = max(b.last, last) }

// Lease returns what a session is; it may be over.
func (b *Book) Lease(s park.SessionID) (Lease, bool) {
	l, ok := b.leases.Get(number(s))
	if !ok {
		return Lease{}, false
	}
	return *l, true
}

// Who is what a session's lease says of its client; it may be over.
func (b *Book) Who(s park.SessionID) string {
	if b.desk.of == s && s != 0 {
		return b.desk.state.lease.Who
	}
	l, _ := b.Lease(s)
	return l.Who
}

// State returns where a session stands; it may be over.
func (b *Book) State(s park.SessionID) (State, bool) {
	if !b.fetch(s) {
		return State{}, false
	}
	return b.desk.state, true
}

// Live returns the state of a session that is not over.
func (b *Book) Live(s park.SessionID) (State, bool) {
	st, ok := b.State(s)
	return st, ok && !st.Over
}

// Attach moves a session to the stream of epoch.
func (b *Book) Attach(s park.SessionID, epoch uint64) { b.change(s).Epoch = epoch }

// Spend makes seq the last of its session.
func (b *Book) Spend(id park.ID) { b.change(id.Session).Last = id.Seq }

// Stamp renews a lease at clock. Its alarm moves only if it comes before half of the TTL is
// over: those of sessions that renew never go off, each of which would be an entry, and
// most renewals leave them alone.
func (b *Book) Stamp(s park.SessionID, clock park.Clock) {
	st := b.change(s)
	st.Stamp = clock
	stands := st.alarm
	if ends := b.ends(s); stands-clock < (ends-clock)/2 {
		b.place(s, ends)
	}
}

// Revoke refuses a session's renewals from now on.
func (b *Book) Revoke(s park.SessionID) { b.change(s).Revoked = true }

// End makes a session over at clock. Its waits and holds are the caller's business; what
// is held still is in its lock-delay. It is forgotten after its grace, and after the last
// of its lock-delays, so that describe can say whose they are. When that is is written
// down, not worked out again from the holds that are left: a node that restores a
// snapshot in between must come to the same.
func (b *Book) End(s park.SessionID, clock park.Clock) {
	forget := clock + park.Clock(Grace)
	for _, h := range b.HoldsOf(s) {
		forget = max(forget, h.Free+1) // the alarm of the hold is first
	}
	b.forgetRequests(s)
	st := b.change(s)
	st.Over, st.Forget = true, forget
	b.live--
	b.place(s, forget)
}

// Forget removes an ended session and its kept results.
func (b *Book) Forget(s park.SessionID) {
	for _, id := range collect(b.KeptOf(s)) {
		b.kept.Delete(id)
	}
	b.unplace(s)
	b.file()
	b.desk = desk{}
	b.leases.Delete(number(s))
	b.states.Delete(number(s))
}

// Park counts a call that waits from now on.
func (b *Book) Park(id park.ID) { b.count(id, 1) }

// Unpark counts a call that no longer waits.
func (b *Book) Unpark(id park.ID) { b.count(id, -1) }

// Grant gives a call its hold.
func (b *Book) Grant(id park.ID, h Hold) {
	if _, had := b.holds.Put(id, h); had {
		panic("session: the call holds already")
	}
	b.count(id, 1)
}

// Change puts h in the place of a call's hold.
func (b *Book) Change(id park.ID, h Hold) {
	if _, had := b.holds.Put(id, h); !had {
		panic("session: the call holds nothing")
	}
}

// Drop takes a call's hold from it.
func (b *Book) Drop(id park.ID) (Hold, bool) {
	h, ok := b.holds.Delete(id)
	if ok {
		b.count(id, -1)
	}
	return h, ok
}

// Keep keeps a call's result.
func (b *Book) Keep(id park.ID, k Kept) {
	if _, had := b.kept.Put(id, k); had {
		panic("session: the call has a result already")
	}
	b.count(id, 1)
	b.change(id.Session).bytes += int64(len(k.Data))
}

// Lend counts n bytes of data that a call was given with its hold; less than none when the
// hold ends. The data is in a room, which is asked for it.
func (b *Book) Lend(id park.ID, n int) { b.change(id.Session).lent += int64(n) }

// Full reports whether a session's kept results and what it holds have as many bytes as they
// may. Those of a unary session never have: it is sent nothing that it does not ask for.
func (b *Book) Full(s park.SessionID) bool {
	return b.fetch(s) && b.desk.state.Epoch != 0 && b.desk.state.bytes+b.desk.state.lent >= MaxBytes
}

// Ack forgets the kept results of a session's seqs from first to last.
func (b *Book) Ack(s park.SessionID, first, last park.Seq) {
	var ids []park.ID
	for id := range b.kept.From(park.ID{Session: s, Seq: first}) {
		if id.Session != s || id.Seq > last {
			break
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		k, _ := b.kept.Delete(id)
		b.count(id, -1)
		b.change(s).bytes -= int64(len(k.Data))
	}
}

// Hold returns what a call holds.
func (b *Book) Hold(id park.ID) (Hold, bool) { return b.holds.Get(id) }

// Kept returns a call's kept result.
func (b *Book) Kept(id park.ID) (Kept, bool) { return b.kept.Get(id) }

// HoldsOf yields a session's holds, by seq.
func (b *Book) HoldsOf(s park.SessionID) iter.Seq2[park.ID, Hold] { return of(&b.holds, s) }

// KeptOf yields a session's kept results, by seq.
func (b *Book) KeptOf(s park.SessionID) iter.Seq2[park.ID, Kept] { return of(&b.kept, s) }

// Holds yields all holds, by id.
func (b *Book) Holds() iter.Seq2[park.ID, Hold] { return b.holds.All() }

// Sessions yields all sessions, those that are over too.
func (b *Book) Sessions() iter.Seq2[park.SessionID, State] {
	b.file()
	return func(yield func(park.SessionID, State) bool) {
		for n, st := range b.states.All() {
			if !yield(park.SessionID(n), st) {
				return
			}
		}
	}
}

// Len is the number of live sessions, and of holds.
func (b *Book) Len() (sessions, holds int64) { return b.live, int64(b.holds.Len()) }

// Sum is the hash of the book.
func (b *Book) Sum() uint64 {
	b.file()
	return b.leases.Sum() + 3*b.states.Sum() + 5*b.holds.Sum() + 7*b.kept.Sum() + 11*uint64(b.last) +
		23*b.requests.asked.Sum()
}

// Copy returns a copy, in O(1).
func (b *Book) Copy() Book {
	b.file()
	c := *b
	c.leases, c.states = b.leases.Copy(), b.states.Copy()
	c.holds, c.kept = b.holds.Copy(), b.kept.Copy()
	c.alarms = b.alarms.Copy()
	c.requests = b.requests.copy()
	return c
}

// fetch puts a session's state on the desk. It reports false if there is none.
func (b *Book) fetch(s park.SessionID) bool {
	if b.desk.of == s {
		return s != 0
	}
	st, ok := b.states.Get(number(s))
	if ok {
		b.file()
		b.desk = desk{of: s, state: st}
	}
	return ok
}

// change returns a session's state, to be changed at once: it is good until the next
// call of any method.
func (b *Book) change(s park.SessionID) *State {
	if !b.fetch(s) {
		panic("session: no such session")
	}
	b.desk.changed = true
	return &b.desk.state
}

// file brings the table up to date.
func (b *Book) file() {
	if b.desk.changed {
		b.states.Put(number(b.desk.of), b.desk.state)
		b.desk.changed = false
	}
}

func (b *Book) count(id park.ID, n int32) { b.change(id.Session).Open += n }

func of[V cow.Record](t *cow.Table[park.ID, V], s park.SessionID) iter.Seq2[park.ID, V] {
	return func(yield func(park.ID, V) bool) {
		for id, v := range t.From(park.ID{Session: s}) {
			if id.Session != s || !yield(id, v) {
				return
			}
		}
	}
}

// collect lists the keys of a sequence, because a table must not change while it is
// iterated over.
func collect[K, V any](seq iter.Seq2[K, V]) (keys []K) {
	for k := range seq {
		keys = append(keys, k)
	}
	return keys
}

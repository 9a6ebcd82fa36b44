package lock

import (
	"iter"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	// MaxPermits is the highest limit of a semaphore.
	MaxPermits = 1 << 40

	// MaxHeld bounds the holds and MaxSemaphores the limits of the whole room, both
	// when a call is admitted. A limit stays until it is deleted (SEMANTICS E9), so that a room
	// which is full of them stays full. A million locks may be held for good, and beside them as
	// many come and go as one session may have calls: a room that is full of those that
	// stay would refuse everybody else.
	MaxHeld       = 1<<20 + 1<<16
	MaxSemaphores = 1_000_000
)

// A Room has what is held of all locks and semaphores. Make it with NewRoom.
type Room struct {
	semaphores cow.Table[park.Object, Semaphore]

	// holders is derived from the holds, which package session keeps.
	holders cow.Index[spot, Share]
}

// A Semaphore is a limit and how many permits are out.
type Semaphore struct {
	Stored int64 // the limit of the first use, which callers are held to
	Limit  int64 // in force, after Resize
	Held   int64
}

// A Share is what one call holds of an object.
type Share struct {
	Shared bool
	N      int64
}

type spot struct {
	on park.Object
	id park.ID
}

func (a spot) Compare(b spot) int {
	if c := a.on.Compare(b.on); c != 0 {
		return c
	}
	return a.id.Compare(b.id)
}

// NewRoom returns an empty room.
func NewRoom() Room {
	return Room{cow.NewTable[park.Object, Semaphore](), cow.NewIndex[spot, Share]()}
}

// Admit says whether an arm may be asked for at all: 0 if so, else why not, with the
// limit that was met. The first admitted arm of a semaphore stores its limit, even if
// its call is refused for another arm.
func (r *Room) Admit(a park.Arm) (park.Code, int64) {
	if !park.ValidName(a.On.Name) {
		return park.Invalid, park.MaxName
	}
	switch {
	case a.Side != park.Alone || a.Ack || a.Codec != "":
		return park.Invalid, 0
	case a.On.Kind == park.KindCond:
		return admitCond(a)
	case a.Value != "":
		return park.Invalid, 0
	case r.holders.Len() >= MaxHeld:
		return park.Limit, MaxHeld
	}
	switch a.On.Kind {
	case park.KindLock:
		if a.N != 1 || a.Limit != 0 {
			return park.Invalid, 1
		}
		return 0, 0
	case park.KindSemaphore:
		return r.admitPermits(a)
	default:
		return park.Invalid, 0
	}
}

func (r *Room) admitPermits(a park.Arm) (park.Code, int64) {
	if a.Shared || a.N < 1 || a.Limit < 0 || a.Limit > MaxPermits {
		return park.Invalid, MaxPermits
	}
	s, ok := r.semaphores.Get(a.On)
	switch {
	case !ok && a.Limit == 0:
		return park.NotFound, 0
	case !ok && r.semaphores.Len() >= MaxSemaphores:
		return park.Limit, MaxSemaphores
	case !ok:
		s = Semaphore{Stored: a.Limit, Limit: a.Limit}
	case a.Limit != 0 && a.Limit != s.Stored:
		return park.Mismatch, s.Stored
	}
	if a.N > s.Limit {
		return park.Invalid, s.Limit
	}
	if !ok {
		r.semaphores.Put(a.On, s)
	}
	return 0, 0
}

// Ready says whether an arm can proceed now, given that nobody stands ahead of it. That of
// a cond never can.
func (r *Room) Ready(a park.Arm) park.Verdict {
	if a.On.Kind == park.KindCond {
		return park.No
	}
	if a.On.Kind == park.KindSemaphore {
		if s, _ := r.semaphores.Get(a.On); s.Held+a.N > s.Limit {
			return park.No
		}
		return park.Yes
	}
	at, share, ok := r.holders.First(spot{on: a.On})
	if ok && at.on == a.On && !(a.Shared && share.Shared) {
		return park.No
	}
	return park.Yes
}

// Exclusive says whether a hold of the arm excludes all others, and so has a token.
func (r *Room) Exclusive(a park.Arm) bool { return Exclusive(a) }

// Exclusive is the method of that name, which needs no room.
func Exclusive(a park.Arm) bool { return a.On.Kind == park.KindLock && !a.Shared }

// Commit takes what a ready arm asks for.
func (r *Room) Commit(id park.ID, a park.Arm, _ int32, _ *park.Arm) park.Result {
	if _, had := r.holders.Put(spot{a.On, id}, Share{a.Shared, a.N}); had {
		panic("lock: the call holds the object already")
	}
	r.permits(a.On, a.N)
	return park.Result{Code: park.Granted}
}

// Held is what Commit returned for a hold.
func (r *Room) Held(park.ID, park.Arm) park.Result { return park.Result{Code: park.Granted} }

// Release gives back n of what a call holds of an arm's object; at most all it has.
func (r *Room) Release(id park.ID, a park.Arm, n int64) {
	on := a.On
	at := spot{on, id}
	share, ok := r.holders.Delete(at)
	if !ok || n > share.N {
		panic("lock: more is released than is held")
	}
	if share.N -= n; share.N > 0 {
		r.holders.Put(at, share)
	}
	r.permits(on, -n)
}

func (r *Room) permits(on park.Object, n int64) {
	if on.Kind != park.KindSemaphore {
		return
	}
	s, ok := r.semaphores.Get(on)
	if !ok {
		panic("lock: permits of no semaphore")
	}
	s.Held += n
	r.semaphores.Put(on, s)
}

// Resize sets a semaphore's limit in force, and makes the semaphore if there is none.
func (r *Room) Resize(on park.Object, limit int64) (park.Code, int64) {
	if on.Kind != park.KindSemaphore || !park.ValidName(on.Name) || limit < 1 || limit > MaxPermits {
		return park.Invalid, MaxPermits
	}
	s, ok := r.semaphores.Get(on)
	if !ok {
		if r.semaphores.Len() >= MaxSemaphores {
			return park.Limit, MaxSemaphores
		}
		s.Stored = limit
	}
	s.Limit = limit
	r.semaphores.Put(on, s)
	return park.Done, limit
}

// Delete forgets a semaphore's limit.
func (r *Room) Delete(on park.Object) (park.Code, int64) {
	s, ok := r.semaphores.Get(on)
	switch {
	case on.Kind != park.KindSemaphore:
		return park.Invalid, 0
	case !ok:
		return park.NotFound, 0
	case s.Held > 0:
		return park.Busy, s.Held
	}
	r.semaphores.Delete(on)
	return park.Done, 0
}

// Tidy has nothing to do: a lock that nobody holds is not in the room, and a limit stays.
func (r *Room) Tidy(park.Object) {}

// Semaphore returns a semaphore's numbers.
func (r *Room) Semaphore(on park.Object) (Semaphore, bool) { return r.semaphores.Get(on) }

// Traits are a semaphore's numbers.
func (r *Room) Traits(on park.Object) (park.Traits, bool) {
	s, ok := r.semaphores.Get(on)
	return park.Traits{Limit: s.Limit, Held: s.Held}, ok
}

// Holders yields who holds an object, by call.
func (r *Room) Holders(on park.Object) iter.Seq[park.ID] {
	return func(yield func(park.ID) bool) {
		for at := range r.holders.From(spot{on: on}) {
			if at.on != on || !yield(at.id) {
				return
			}
		}
	}
}

// First returns the first object, from the given one on, that is held or has a limit.
func (r *Room) First(from park.Object) (park.Object, bool) {
	at, _, held := r.holders.First(spot{on: from})
	sem, limited := r.semaphores.First(from)
	switch {
	case held && limited && sem.Compare(at.on) < 0, limited && !held:
		return sem, true
	default:
		return at.on, held
	}
}

// Sum is the hash of the room.
func (r *Room) Sum() uint64 { return r.semaphores.Sum() }

// Copy returns a copy, in O(1).
func (r *Room) Copy() Room { return Room{r.semaphores.Copy(), r.holders.Copy()} }

// Append appends the semaphore's encoding.
func (s Semaphore) Append(b []byte) []byte {
	return wire.AppendInt(wire.AppendInt(wire.AppendInt(b, s.Stored), s.Limit), s.Held)
}

func decodeSemaphore(d *wire.Decoder) Semaphore { return Semaphore{d.Int(), d.Int(), d.Int()} }

// Save emits the room's records; who holds what is not among them.
func (r *Room) Save(emit func([]byte) error) error { return r.semaphores.Save(emit) }

// Restore takes what Save emitted into a room that is empty; Rehold follows for each hold.
func (r *Room) Restore(take func() (*wire.Decoder, error)) error {
	return r.semaphores.Restore(take, func(d *wire.Decoder) (park.Object, Semaphore) {
		return park.DecodeObject(d), decodeSemaphore(d)
	})
}

// Rehold puts the holds of a snapshot back, whose permits are counted already, into a room
// that has none; there are n. It reports false if a call holds an object twice.
func (r *Room) Rehold(n int, holds iter.Seq2[park.ID, park.Arm]) bool {
	return r.holders.Fill(n, func(yield func(spot, Share) bool) {
		for id, a := range holds {
			if !yield(spot{a.On, id}, Share{a.Shared, a.N}) {
				return
			}
		}
	})
}

package table

import (
	"iter"
	"strings"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	// MaxKey is the longest key and MaxValue the longest value, in bytes. A key has one byte at
	// least.
	MaxKey   = 1_024
	MaxValue = 64 << 10

	// MaxCodec is the longest name of a codec, in bytes.
	MaxCodec = 64

	// MaxEntries and MaxBytes, of keys and values, bound one map.
	MaxEntries = 4_096
	MaxBytes   = 512 << 10

	// MaxMaps bounds the maps of the whole room, empty ones too.
	MaxMaps = 100_000

	// MaxStored bounds the whole room, in bytes of keys and values and Overhead for each entry.
	// That is about what the memory holds: a room of entries of a few bytes is not larger.
	MaxStored = 1 << 30
	Overhead  = 256
)

// A Room has all maps. Make it with NewRoom.
type Room struct {
	maps    cow.Table[park.Object, Map]
	entries cow.Table[place, Entry]

	// stored is derived from maps: what MaxStored bounds.
	stored int64
}

// A Map is what there is of one besides its entries.
type Map struct {
	Codec   string // of the op that made it; "" if that named none
	Entries int64
	Bytes   int64 // of keys and values
}

// weight is what a map counts for in the room.
func (m Map) weight() int64 { return m.Bytes + m.Entries*Overhead }

// An Entry is a value and the revision of the change that stored it.
type Entry struct {
	Value    string
	Revision uint64
}

// A place is where an entry is. A map's are a range, in the order of keys.
type place struct {
	on  park.Object
	key string
}

func (a place) Compare(b place) int {
	if c := a.on.Compare(b.on); c != 0 {
		return c
	}
	return strings.Compare(a.key, b.key)
}

// NewRoom returns a room without maps.
func NewRoom() Room {
	return Room{maps: cow.NewTable[park.Object, Map](), entries: cow.NewTable[place, Entry]()}
}

// Delete deletes a map that is empty. One with entries is busy, with how many there are:
// whoever wants them gone clears it, so that who watches it is told.
func (r *Room) Delete(on park.Object) (park.Code, int64) {
	m, ok := r.maps.Get(on)
	switch {
	case !ok:
		return park.NotFound, 0
	case m.Entries > 0:
		return park.Busy, m.Entries
	}
	r.maps.Delete(on)
	return park.Done, 0
}

// Holders yields nobody: a map is not held.
func (*Room) Holders(park.Object) iter.Seq[park.ID] { return func(func(park.ID) bool) {} }

// Tidy does nothing: a map stays until it is deleted.
func (*Room) Tidy(park.Object) {}

// First returns the first map from the given object on.
func (r *Room) First(from park.Object) (park.Object, bool) { return r.maps.First(from) }

// Traits are what a map is; ok is false if there is none of that name.
func (r *Room) Traits(on park.Object) (t park.Traits, ok bool) {
	m, ok := r.maps.Get(on)
	return park.Traits{Held: m.Entries, Bytes: m.Bytes, Codec: m.Codec}, ok
}

// Admit refuses every arm: a map is not waited for.
func (*Room) Admit(park.Arm) (park.Code, int64) { return park.Invalid, 0 }

// Ready is what every room is asked of an arm; none of a map was admitted.
func (*Room) Ready(park.Arm) park.Verdict { panic(noArms) }

// Commit is like Ready.
func (*Room) Commit(park.ID, park.Arm, int32, *park.Arm) park.Result { panic(noArms) }

// Release is like Ready.
func (*Room) Release(park.ID, park.Arm, int64) { panic(noArms) }

// Held is like Ready.
func (*Room) Held(park.ID, park.Arm) park.Result { panic(noArms) }

// Exclusive is false: a map is not held.
func (*Room) Exclusive(park.Arm) bool { return false }

const noArms = "table: an arm of a map"

// Sum is the hash of the room.
func (r *Room) Sum() uint64 { return r.maps.Sum() + 3*r.entries.Sum() }

// Copy returns a copy, in O(1).
func (r *Room) Copy() Room { return Room{r.maps.Copy(), r.entries.Copy(), r.stored} }

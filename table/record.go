package table

import (
	"fmt"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

const maxUint = 1<<64 - 1

// Append appends the map's encoding.
func (m Map) Append(b []byte) []byte {
	return wire.AppendInt(wire.AppendInt(wire.AppendString(b, m.Codec), m.Entries), m.Bytes)
}

func decodeMap(d *wire.Decoder) Map { return Map{d.String(), d.Int(), d.Int()} }

// Append appends the entry's encoding.
func (e Entry) Append(b []byte) []byte {
	return wire.AppendUint(wire.AppendString(b, e.Value), e.Revision)
}

func decodeEntry(d *wire.Decoder) Entry { return Entry{d.String(), d.Uint(maxUint)} }

// Append appends the place's encoding.
func (a place) Append(b []byte) []byte { return wire.AppendString(a.on.Append(b), a.key) }

func decodePlace(d *wire.Decoder) place { return place{park.DecodeObject(d), d.Text()} }

// Save emits the room's records: the maps, then the entries.
func (r *Room) Save(emit func([]byte) error) error {
	if err := r.maps.Save(emit); err != nil {
		return err
	}
	return r.entries.Save(emit)
}

// Restore takes what Save emitted into a room that is empty.
func (r *Room) Restore(take func() (*wire.Decoder, error)) error {
	err := r.maps.Restore(take, func(d *wire.Decoder) (park.Object, Map) {
		return park.DecodeObject(d), decodeMap(d)
	})
	if err != nil {
		return fmt.Errorf("maps: %w", err)
	}
	err = r.entries.Restore(take, func(d *wire.Decoder) (place, Entry) {
		return decodePlace(d), decodeEntry(d)
	})
	if err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	for _, m := range r.maps.All() {
		r.stored += m.weight()
	}
	return nil
}

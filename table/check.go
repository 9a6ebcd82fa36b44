package table

import (
	"errors"
	"fmt"

	"coordd.dev/internal/park"
)

// Check compares what the maps count with their entries, and the entries' revisions with the
// last one that the machine has given.
func (r *Room) Check(last uint64) (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("J10: "+format, args...)) }
	counted, revisions := map[park.Object]Map{}, map[uint64]place{}
	for at, e := range r.entries.All() {
		c := counted[at.on]
		c.Entries, c.Bytes = c.Entries+1, c.Bytes+int64(len(at.key)+len(e.Value))
		counted[at.on] = c
		if other, taken := revisions[e.Revision]; taken || e.Revision == 0 || e.Revision > last {
			fault("revision %d of %v: also %v; the last is %d", e.Revision, at, other, last)
		}
		revisions[e.Revision] = at
		if _, ok := r.maps.Get(at.on); !ok {
			fault("%v is of no map", at)
		}
	}
	stored := int64(0)
	for on, m := range r.maps.All() {
		stored += m.weight()
		if c := counted[on]; c.Entries != m.Entries || c.Bytes != m.Bytes {
			fault("%v has %d entries of %d bytes, counted as %d of %d", on, c.Entries, c.Bytes, m.Entries, m.Bytes)
		}
		if m.Entries > MaxEntries || m.Bytes > MaxBytes {
			fault("%v has %d entries of %d bytes, above the limit", on, m.Entries, m.Bytes)
		}
	}
	if stored != r.stored || stored > MaxStored {
		fault("the room stores %d, counted as %d", stored, r.stored)
	}
	return faults
}

// CheckSum compares the running hashes with a recomputation.
func (r *Room) CheckSum() error { return errors.Join(r.maps.Check(), r.entries.Check()) }

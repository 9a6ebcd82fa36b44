package lock

import (
	"fmt"

	"coordd.dev/internal/park"
)

// Check compares who holds what here with what the holds say: holds reports whether a
// call's hold has so much of an object, arms is how many arms all holds have.
func (r *Room) Check(holds func(id park.ID, on park.Object, n int64) bool, arms int) (faults []error) {
	for at, share := range r.holders.All() {
		if !holds(at.id, at.on, share.N) {
			faults = append(faults, fmt.Errorf("J1: the room has %v hold %d of %v", at.id, share.N, at.on))
		}
	}
	if r.holders.Len() != arms {
		faults = append(faults, fmt.Errorf("J1: the room has %d holders, there are %d", r.holders.Len(), arms))
	}
	return faults
}

// CheckSum compares the running hash with a recomputation.
func (r *Room) CheckSum() error { return r.semaphores.Check() }

package latch

import (
	"errors"
	"fmt"

	"coordd.dev/internal/park"
)

// Check compares the counters with the balances, and these with the sessions: live reports
// whether one lives.
func (g *Groups) Check(live func(park.SessionID) bool) (faults []error) {
	failf := func(rule int, format string, args ...any) {
		faults = append(faults, fmt.Errorf("J%d: %w", rule, fmt.Errorf(format, args...)))
	}
	sums, groups, shares := int64(0), 0, map[park.SessionID]int{}
	var sum int64
	var last park.Object
	for at, b := range g.balances.All() {
		if at.on != last {
			sum, last = 0, at.on
			groups++
		}
		sum += b.n
		sums += b.n
		shares[b.session]++
		if b.n < 1 {
			failf(10, "session %v has %d of %v", b.session, b.n, at.on)
		}
		if !live(b.session) {
			failf(1, "session %v, which does not live, has %d of %v", b.session, b.n, at.on)
		}
		if order, ok := g.orders.Get(share{b.session, at.on}); !ok || order != at.order {
			failf(10, "the balance of session %v in %v is at %d, noted at %d", b.session, at.on, at.order, order)
		}
		if count, _ := g.counters.Get(at.on); sum > count || count > MaxCount {
			failf(10, "%v counts %d, its balances %d and more", at.on, count, sum)
		}
	}
	for _, count := range g.counters.All() {
		sums -= count
	}
	if sums != 0 || g.counters.Len() != groups || g.orders.Len() != g.balances.Len() {
		failf(10, "%d counters of %d groups, %d orders of %d balances, which are %d more",
			g.counters.Len(), groups, g.orders.Len(), g.balances.Len(), sums)
	}
	faults = append(faults, g.checkShares(shares)...)
	if n := g.balances.Len() + g.cut.Len(); n > MaxGroups {
		failf(10, "wait groups have %d records", n)
	}
	return faults
}

// checkShares compares how many balances sessions have with what is counted.
func (g *Groups) checkShares(want map[park.SessionID]int) (faults []error) {
	for s, n := range g.shares.All() {
		if n != want[park.SessionID(s)] || n > MaxShares {
			faults = append(faults, fmt.Errorf("J10: session %v has %d balances, counted as %d", park.SessionID(s), want[park.SessionID(s)], n))
		}
	}
	if g.shares.Len() != len(want) {
		faults = append(faults, fmt.Errorf("J10: %d sessions have balances, counted as %d", len(want), g.shares.Len()))
	}
	return faults
}

// CheckSum compares the running hashes with a recomputation.
func (g *Groups) CheckSum() error { return errors.Join(g.balances.Check(), g.cut.Check()) }

// Check compares who runs here with what the holds say: runs reports whether a call's hold
// is that of a once, runners is how many such holds there are.
func (o *Onces) Check(runs func(id park.ID, on park.Object) bool, runners int) (faults []error) {
	for on, id := range o.runners.All() {
		if !runs(id, on) {
			faults = append(faults, fmt.Errorf("J1: the room has %v run %v", id, on))
		}
		if _, done := o.done.Get(on); done {
			faults = append(faults, fmt.Errorf("J2: %v is done and %v runs it", on, id))
		}
	}
	if o.runners.Len() != runners {
		faults = append(faults, fmt.Errorf("J1: the room has %d runners, there are %d", o.runners.Len(), runners))
	}
	var bytes int64
	for _, end := range o.done.All() {
		bytes += int64(len(end.result))
	}
	if bytes != o.stored || bytes > MaxStored {
		faults = append(faults, fmt.Errorf("J10: results have %d bytes, counted as %d", bytes, o.stored))
	}
	return faults
}

// CheckSum compares the running hash with a recomputation.
func (o *Onces) CheckSum() error { return o.done.Check() }

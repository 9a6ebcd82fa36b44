package latch_test

import (
	"fmt"
	"testing"

	"coordd.dev/internal/park"
	"coordd.dev/latch"
)

// The whole room has a limit. What is there may grow at it, and a new round of a cut group
// takes the place of the cut.
func TestGroupsLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the room")
	}
	r := latch.NewGroups()
	order := uint64(0)
	fill := func(s park.SessionID, on park.Object) (park.Code, int64) {
		order++
		return r.Add(s, on, 1, order)
	}
	fill(1, group("cut"))
	fill(2, group("cut"))
	fill(3, group("over"))
	r.Leave(1)
	r.Leave(3)
	for n := range latch.MaxGroups - 3 {
		if code, _ := fill(park.SessionID(n+10), group("full")); code != park.Done {
			t.Fatalf("balance %d: code %d", n, code)
		}
	}
	for name, c := range map[string]struct {
		s    park.SessionID
		on   park.Object
		want park.Code
	}{
		"a new group":            {1, group("new"), park.Limit},
		"a new balance":          {1, group("full"), park.Limit},
		"a new balance of a cut": {1, group("cut"), park.Limit},
		"more of a balance":      {10, group("full"), park.Done},
		"more of a cut":          {2, group("cut"), park.Done},
		"a new round":            {1, group("over"), park.Done},
	} {
		if code, n := fill(c.s, c.on); code != c.want || code == park.Limit && n != latch.MaxGroups {
			t.Errorf("%s, at MaxGroups: code %d (%d), should be %d", name, code, n, c.want)
		}
	}
	if faults := r.Check(func(park.SessionID) bool { return true }); len(faults) != 0 {
		t.Error(faults)
	}
	if code, _ := r.Add(1, group("full"), 1-latch.MaxGroups, order); code != park.Invalid {
		t.Errorf("more than there is: code %d", code)
	}
	if code, n := r.Add(1, group("full"), 3-latch.MaxGroups, order); code != park.Done || n != 1 {
		t.Errorf("all balances but one: code %d (%d)", code, n)
	}
	if code, _ := fill(1, group("new")); code != park.Done {
		t.Errorf("below MaxGroups: code %d", code)
	}
}

// A session has so many balances at most, also one that comes out of a snapshot; what it
// settles makes place. A cut that it may not begin anew stays.
func TestMaxShares(t *testing.T) {
	r := latch.NewGroups()
	order := uint64(0)
	add := func(r *latch.Groups, s park.SessionID, name string, n int64) (park.Code, int64) {
		order++
		return r.Add(s, group(name), n, order)
	}
	add(&r, 2, "cut", 1)
	r.Leave(2)
	for n := range latch.MaxShares {
		if code, _ := add(&r, 1, fmt.Sprint("g", n), 1); code != park.Done {
			t.Fatalf("balance %d: code %d", n, code)
		}
	}
	again := latch.NewGroups()
	if err := again.Restore(replay(saved(t, r.Save))); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*latch.Groups{&r, &again} {
		for name, c := range map[string]struct {
			s    park.SessionID
			on   string
			code park.Code
			n    int64
		}{
			"another":           {1, "new", park.Limit, latch.MaxShares},
			"a new round":       {1, "cut", park.Limit, latch.MaxShares},
			"more of one":       {1, "g0", park.Done, 2},
			"another session's": {2, "g1", park.Done, 2},
		} {
			if code, n := add(r, c.s, c.on, 1); code != c.code || n != c.n {
				t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, n, c.code, c.n)
			}
		}
		if traits, _ := r.Traits(group("cut")); traits.State != park.GroupCut {
			t.Error("the cut is forgotten")
		}
		add(r, 1, "g0", -2)
		if code, _ := add(r, 1, "new", 1); code != park.Done {
			t.Errorf("another, after one is settled: code %d", code)
		}
		if got := len(r.Leave(1)); got != latch.MaxShares {
			t.Errorf("%d groups are cut by the end of it", got)
		}
		if code, _ := add(r, 1, "newer", 1); code != park.Done {
			t.Errorf("after it has left: code %d", code)
		}
		if faults := r.Check(func(park.SessionID) bool { return true }); len(faults) != 0 {
			t.Error(faults)
		}
	}
}

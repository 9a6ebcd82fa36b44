package machine_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What is in the way of a wait, and who keeps it there.
func TestBlocked(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	x, p := lockOp("x").Wait.Arms[0], permitsOp("p", 1, 2).Wait.Arms[0]
	shared := x
	shared.Shared = true
	all := machine.Op{Do: machine.DoWait, Wait: machine.Wait{Commit: park.Every, Arms: []park.Arm{shared, p}}}
	r.frame(s, lockOp("x"), permitsOp("p", 2, 2))            // 1, 2
	r.frame(s, keeping(lockOp("x"), s, 2))                   // 3 waits
	r.frame(s+1, lockOp("y"), lockOp("x"), all, lockOp("z")) // 2 and 3 wait
	call := func(of park.SessionID, seq park.Seq) park.ID { return park.ID{Session: of, Seq: seq} }
	got, more := r.machine.Blocked(call(s+1, 3))
	want := []machine.Edge{
		{From: call(s+1, 3), On: x.On, To: call(s, 1), Held: true},
		{From: call(s+1, 3), On: x.On, To: call(s+1, 2)},
		{From: call(s+1, 3), On: p.On, To: call(s, 2), Held: true, Kept: true},
	}
	if diff := cmp.Diff(want, got); diff != "" || more {
		t.Errorf("more %v\n%s", more, diff)
	}
	if got, more = r.machine.Blocked(call(s, 1)); got != nil || more {
		t.Errorf("in the way of a call that does not wait: %v", got)
	}
	if waits, more := r.machine.Keepers(call(s, 2)); !slices.Equal(waits, []park.ID{call(s, 3)}) || more {
		t.Errorf("the permits are kept by %v", waits)
	}
	if waits, _ := r.machine.Keepers(call(s, 1)); waits != nil {
		t.Errorf("x is kept by %v", waits)
	}
}

// A reader is not in the way of a reader; of many who are a hundred are told.
func TestBlockedByMany(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	read := lockOp("x")
	read.Wait.Arms[0].Shared = true
	for range 100 {
		r.frame(s, read)
	}
	both := lockOp("x") // 1 of the other session
	both.Wait.Arms = append(both.Wait.Arms, lockOp("x").Wait.Arms[0])
	r.frame(s+1, both)
	if edges, more := r.machine.Blocked(park.ID{Session: s + 1, Seq: 1}); len(edges) != 100 || !more {
		t.Errorf("%d edges, more %v", len(edges), more)
	}
	r.frame(s+1, read)
	edges, more := r.machine.Blocked(park.ID{Session: s + 1, Seq: 2})
	if len(edges) != 1 || edges[0].Held || edges[0].To.Seq != 1 || more {
		t.Errorf("in the way of a reader behind a writer: %v", edges)
	}
	r.frame(s, lockOp("y"))
	for range 101 {
		r.frame(s+1, keeping(lockOp("y"), s, 1))
	}
	if waits, more := r.machine.Keepers(park.ID{Session: s, Seq: 1}); len(waits) != 100 || !more {
		t.Errorf("%d keep it, more %v", len(waits), more)
	}
}

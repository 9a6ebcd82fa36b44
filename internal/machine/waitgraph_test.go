package machine_test

import (
	"fmt"
	"slices"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// graphLines are the edges of a graph, one a line.
func graphLines(g machine.WaitGraph) (lines []string) {
	for _, e := range g.Edges {
		why := map[machine.EdgeWhy]string{
			machine.EdgeHeld: "wants what is held by", machine.EdgeAhead: "is behind", machine.EdgeKept: "is kept until the end of",
		}[e.Why]
		lines = append(lines, fmt.Sprintf("%d/%d %s %d/%d: %s", e.From.Session, e.From.Seq, why, e.To.Session, e.To.Seq, e.On.Name))
	}
	return lines
}

// What stands behind a wait is found, through those who keep what is in the way, and nothing else.
func TestWaitGraph(t *testing.T) {
	r := newRig(t)
	s := r.open(3, minute)
	r.frame(s, lockOp("x"))                    // 1
	r.frame(s+1, lockOp("y"), lockOp("z"))     // 1, 2
	r.frame(s, keeping(lockOp("y"), s, 1))     // 2 keeps x, waits for y
	r.frame(s+1, lockOp("other"))              // 3
	r.frame(s+2, lockOp("x"), lockOp("other")) // 1, 2 wait
	r.frame(s+2, lockOp("x"))                  // 3 waits behind 1
	g := r.machine.WaitGraph(lockOp("x").Wait.Arms[0].On, 100)
	want := []string{
		fmt.Sprintf("%d/1 wants what is held by %d/1: x", s+2, s),
		fmt.Sprintf("%d/1 is kept until the end of %d/2: x", s, s),
		fmt.Sprintf("%d/2 wants what is held by %d/1: y", s, s+1),
		fmt.Sprintf("%d/3 wants what is held by %d/1: x", s+2, s),
		fmt.Sprintf("%d/3 is behind %d/1: x", s+2, s+2),
	}
	if got := graphLines(g); !slices.Equal(got, want) || g.Cut {
		t.Errorf("cut %v, edges\n%q, should be\n%q", g.Cut, got, want)
	}
	if n := len(g.Calls); n != 5 {
		t.Errorf("%d calls: %+v", n, g.Calls)
	}
	for _, c := range g.Calls {
		if waits := c.ID == (park.ID{Session: s, Seq: 2}) || c.ID.Session == s+2; c.Waits != waits || len(c.Objects) != 1 {
			t.Errorf("call %+v", c)
		}
	}
	if all := r.machine.WaitGraph(park.Object{}, 100); len(all.Edges) != 6 || len(all.Calls) != 7 {
		t.Errorf("of everything %q", graphLines(all))
	}
}

// A graph is cut where it has as many edges as it may.
func TestWaitGraphIsCut(t *testing.T) {
	r := newRig(t)
	s := r.open(2, minute)
	r.frame(s, lockOp("x"))
	for range 10 {
		r.frame(s+1, lockOp("x"))
	}
	on := lockOp("x").Wait.Arms[0].On
	if g := r.machine.WaitGraph(on, 19); len(g.Edges) != 19 || g.Cut {
		t.Errorf("%d edges of 19, cut %v", len(g.Edges), g.Cut)
	}
	if g := r.machine.WaitGraph(on, 18); len(g.Edges) != 18 || !g.Cut {
		t.Errorf("%d edges of 18, cut %v", len(g.Edges), g.Cut)
	}
	if g := r.machine.WaitGraph(park.Object{}, 3); len(g.Edges) > 3 || !g.Cut {
		t.Errorf("%d edges of 3, cut %v", len(g.Edges), g.Cut)
	}
}

package enginetest

import (
	"testing"
	"testing/synctest"

	"coordd.dev/raftstore"
)

// A Cluster is some nodes of the engine under test, numbered from 0, that are one
// another's peers from the beginning.
type Cluster interface {
	// Start starts a node, for the first time or after a Kill or a Close of its engine.
	Start(node int, m raftstore.Machine) (raftstore.Engine, error)

	// Kill ends a node that runs as the death of its process does: what it had not
	// synced is lost, and it has said nothing to anybody. The engine is closed.
	Kill(node int)

	// Partition cuts the nodes into sides that do not reach each other. A node in none
	// is alone.
	Partition(sides ...[]int)

	// Heal mends all partitions.
	Heal()
}

// A Suite is what Run needs to know of an engine.
type Suite struct {
	// New returns n nodes that are not started. It registers its own cleanup.
	New func(t *testing.T, n int) Cluster

	// Bubble: the clusters live in memory, and each test runs in a bubble of its own.
	Bubble bool

	// Uncut: the nodes cannot be cut off from one another. The tests that need it are
	// left out.
	Uncut bool
}

// A test is one of the suite, on a cluster of some nodes.
type test struct {
	name  string
	nodes int
	cuts  bool // it cuts nodes off
	do    func(h *harness)
}

// tests returns the suite.
func tests() []test {
	return []test{
		{"TotalOrder", 3, false, testTotalOrder},
		{"SubmitOrder", 3, false, testSubmitOrder},
		{"Members", 3, false, testMembers},
		{"Changes", 3, false, testChanges},
		{"Clock", 3, false, testClock},
		{"OtherTerm", 3, false, testOtherTerm},
		{"Barrier", 3, false, testBarrier},
		{"Transfer", 3, false, testTransfer},
		{"Deposed", 3, true, testDeposed},
		{"LostBatch", 3, true, testLostBatch},
		{"Flapping", 3, true, testFlapping},
		{"CloseLog", 3, true, testCloseLog},
		{"RestartAll", 3, false, testRestartAll},
		{"RestartAlone", 1, false, testRestartAll},
		{"CaughtUp", 3, false, testCaughtUp},
		{"Snapshot", 3, false, testSnapshot},
		{"SnapshotAlone", 1, false, testSnapshot},
		{"SlowFollower", 3, false, testSlowFollower},
		{"CutOffFollower", 3, true, testCutOffFollower},
		{"Chaos", 3, true, testChaos},
		{"Chaos5", 5, true, testChaos},
		{"DamagedEntry", 3, false, testDamagedEntry},
		{"RefusedEntry", 3, false, testRefusedEntry},
	}
}

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	for _, test := range tests() {
		if test.cuts && s.Uncut {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			if s.Bubble {
				synctest.Test(t, func(t *testing.T) { s.run(t, test) })
				return
			}
			s.run(t, test)
		})
	}
}

func (s Suite) run(t *testing.T, test test) {
	h := newHarness(t, s.New(t, test.nodes), test.nodes, s.Bubble)
	h.startAll()
	test.do(h)
}

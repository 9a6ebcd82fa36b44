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
}

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(h *harness)
	}{
		{"TotalOrder", testTotalOrder},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !s.Bubble {
				test.do(newHarness(t, s.New))
				return
			}
			synctest.Test(t, func(t *testing.T) { test.do(newHarness(t, s.New)) })
		})
	}
}

package enginetest

import (
	"math/rand/v2"
	"time"
)

// testChaos: whatever happens to the nodes, in any order, nothing that was told was
// untrue, and in the end all is well.
func testChaos(h *harness) {
	seed := rand.Uint64()
	h.t.Logf("seed %d", seed)
	c := &chaos{h, rand.New(rand.NewPCG(seed, 0))}
	stop := h.load()
	for range 60 {
		c.step()
		<-time.After(time.Duration(c.IntN(1000)) * time.Millisecond)
	}
	h.cluster.Heal()
	for i, n := range h.nodes {
		if n == nil {
			h.start(i)
		}
	}
	stop()
	h.settle()
}

// chaos is what a seed makes of a cluster.
type chaos struct {
	*harness
	*rand.Rand
}

func (c *chaos) step() {
	i := c.IntN(len(c.nodes))
	n := c.nodes[i]
	switch what := c.IntN(7); {
	case what == 0:
		c.cluster.Heal()
	case what == 1:
		c.cluster.Partition(others(c.harness, i))
	case n == nil:
		c.start(i)
	case what == 2:
		c.kill(i)
	case what == 3 && n.machine.now().Entries > 0:
		// It may fail, as when nothing is new; then there is none.
		_ = n.engine.Snapshot(c.t.Context())
	case what == 4:
		_ = n.engine.Transfer(c.t.Context(), "")
	}
}

package enginetest

import (
	"sync"
)

// testTotalOrder: many callers, one order.
func testTotalOrder(h *harness) {
	h.startAll()
	leader := h.leader()
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 50 {
				if o := h.propose(h.t.Context(), leader); o.err != nil {
					h.t.Errorf("propose: %v", o.err)
				}
			}
		})
	}
	callers.Wait()
	h.settle()
}

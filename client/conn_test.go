package client

import "testing"

// A suspicion is not lost for an older one that stands in line, and of a link that is not
// used any more nothing is asked.
func TestLatestSuspicionCounts(t *testing.T) {
	c := &conn{suspects: make(chan *link, 1)}
	old, now := &link{addr: "old"}, &link{addr: "now"}
	c.current = now
	c.suspect(old)
	c.suspect(now)
	if l := <-c.suspects; l != now {
		t.Errorf("%s is suspected", l.addr)
	}
	c.examine(t.Context(), old) // has no connection that could be asked
	if c.current != now {
		t.Error("the link is another")
	}
}

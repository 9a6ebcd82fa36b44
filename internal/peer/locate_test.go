package peer

import (
	"errors"
	"testing"
	"testing/synctest"

	"coordd.dev/raftstore"
)

func TestLocate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var b *node
		a := startNode(t, n, "a:1", "c1", func(c *MuxConfig) {
			c.Members = func() []raftstore.Member { return []raftstore.Member{{ID: b.id(), Address: "b:1"}} }
		})
		b = startNode(t, n, "b:1", "c1", nil)
		for id, want := range map[string]string{b.id(): "client-b:1", a.id(): "client-a:1"} {
			if got, err := a.Locate(t.Context(), id); err != nil || got != want {
				t.Errorf("located %q, %v; want %q", got, err, want)
			}
		}
		if _, err := a.Locate(t.Context(), "nobody"); !errors.Is(err, ErrNotMember) {
			t.Errorf("stranger: %v", err)
		}
	})
}

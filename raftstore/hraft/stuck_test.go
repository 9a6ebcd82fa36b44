package hraft

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestStuck: only a refusal that nothing interrupts, for long, is one that never ends.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stuck
		refused := translate(raft.ErrLeadershipTransferInProgress)
		for range 3 {
			began := time.Now()
			for time.Since(began) <= stuckAfter {
				if err := s.note(refused); err != nil {
					t.Fatalf("stuck after %v", time.Since(began))
				}
				time.Sleep(time.Second)
			}
			if err := s.note(nil); err != nil { // it was a long one
				t.Fatal(err)
			}
		}
		_ = s.note(refused)
		time.Sleep(stuckAfter + 1)
		if err := s.note(refused); !errors.Is(err, errStuck) {
			t.Errorf("not stuck: %v", err)
		}
	})
}

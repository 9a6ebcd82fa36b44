package hraft

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// stuckAfter is many times what a transfer may take.
const stuckAfter = 10 * time.Second

var errStuck = errors.New("raft refuses entries because of a transfer of leadership that never ends")

// A stuck notices that raft refuses every entry for a transfer that has long failed: a
// leader that is paused at the wrong moment forgets to take that back (RELIABILITY
// 3.8). Nothing but a restart helps; until then nobody else can lead.
type stuck struct {
	mu    sync.Mutex
	since time.Time // of the first refusal with nothing else after it; zero: none
}

// note is told the outcome of every append.
func (s *stuck) note(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !errors.Is(err, raft.ErrLeadershipTransferInProgress):
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = time.Now()
	case time.Since(s.since) > stuckAfter:
		return errStuck
	}
	return nil
}

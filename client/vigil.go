package client

import (
	"sync"
	"time"

	"coordd.dev/internal/lessee"
)

// silence is how long a node may say nothing after it was sent something before it is
// asked whether it is alive. A parked wait is silent too; so it is asked once.
const silence = 500 * time.Millisecond

// A vigil watches for silence on one stream. An answer ends it only for what was sent up to
// the op that it answers: what was sent after that may be owed still.
type vigil struct {
	clock *clock

	mu       sync.Mutex
	unheard  time.Duration // since when something was sent and nothing came; 0: nothing is owed
	sent     uint64        // the latest seq
	answered uint64        // the latest seq
	asked    bool          // since the latest frame was sent
}

// sends notes that f is about to be sent.
func (v *vigil) sends(f lessee.Frame) {
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.unheard == 0 {
		v.unheard = now
	}
	if n := len(f.Ops); n > 0 {
		v.sent = max(v.sent, f.Ops[n-1].Seq)
	}
	v.asked = false
}

// hears notes what the node said.
func (v *vigil) hears(answers []lessee.Answer) {
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range answers {
		v.answered = max(v.answered, answers[i].Seq)
	}
	v.unheard = 0
	if v.sent > v.answered && !v.asked {
		v.unheard = now
	}
}

// look reports whether the node is to be asked, and otherwise when to look again; 0 is not
// before something is sent.
func (v *vigil) look() (wait time.Duration, ask bool) {
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	switch silent := now - v.unheard; {
	case v.unheard == 0:
		return 0, false
	case silent < silence:
		return silence - silent, false
	}
	v.asked = true
	return 0, true
}

// now is never 0.
func (v *vigil) now() time.Duration { return max(1, v.clock.now()) }

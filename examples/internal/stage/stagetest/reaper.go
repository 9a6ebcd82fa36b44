package stagetest

import (
	"sync"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A Reaper kills a client at a chosen point of a story: it is cut off from the cluster, as if
// its process had died, when its part has said a given line, before it does what comes next.
//
//	for fatal, killed := 1, true; killed; fatal++ {
//		reaper.Next(fatal)
//		... // the story, with every part that can die saying its lines by Say
//		killed = reaper.Next(0)
//	}
//
// goes on until the story has no such line any more.
type Reaper struct {
	cluster *coordtest.Cluster

	mu    sync.Mutex
	lines int            // that were said in this round
	fatal int            // the one that is the last of whoever says it
	dead  *client.Client // nil if nobody is
}

// NewReaper returns a Reaper that kills nobody until Next.
func NewReaper(c *coordtest.Cluster) *Reaper { return &Reaper{cluster: c} }

// Say is the Part.Say of a part that has a client to itself.
func (r *Reaper) Say(c *client.Client) func(format string, args ...any) {
	return func(string, ...any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.lines++; r.lines == r.fatal {
			r.dead = c
			r.cluster.Pause(c)
		}
	}
}

// Next begins a round, in which the line of that number is fatal, 0 for none, and reports
// whether somebody died in the one before. That one comes to life: what it had sent arrives
// now, late, and then it goes on as a process that was stopped for long.
func (r *Reaper) Next(fatal int) (killed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if killed = r.dead != nil; killed {
		r.cluster.Resume(r.dead)
	}
	r.lines, r.fatal, r.dead = 0, fatal, nil
	return killed
}

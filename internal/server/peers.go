package server

import (
	"context"
	"sync"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/raftstore"
)

// A Peer is what a node says of itself to the one that leads.
type Peer struct {
	NodeID    string
	ClusterID string // "" if it is of none yet
	Address   string // of its peer port, as others reach it
	Client    string // where it serves clients
	// Replaces is the member that the node was before its data could not be trusted any more;
	// "" for every other node.
	Replaces string
	// Member: raft has had it in a configuration, whether or not it still is in one.
	Member bool
	Progress
}

// Progress is how far a node is.
type Progress struct {
	Applied uint64 // log index
	Version uint64 // the highest of the machine that it knows
	Notes   []Note // the latest, oldest first
}

// A Note is a node's state hash after the entry of a Checkpoint.
type Note struct {
	Index uint64
	Hash  uint64
}

// keptNotes is how many a node keeps; the leader asks for the one it has just proposed.
const keptNotes = 8

// Progress is how far this node is.
func (r *Replica) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Progress{Applied: r.machine.Index(), Version: machine.Version, Notes: append([]Note(nil), r.notes...)}
}

// mark notes what the shell's own commands ask for, after the entry. mu is held.
func (r *Replica) mark(commands []machine.Command) {
	for _, c := range commands {
		switch c := c.(type) {
		case *machine.Checkpoint:
			r.notes = append(r.notes[max(0, len(r.notes)-keptNotes+1):], Note{r.machine.Index(), r.machine.Hash()})
		case *machine.Verdict:
			r.verdict = c
			r.poke()
		}
	}
}

// judged takes the verdict that was applied last, if there is a new one.
func (r *Replica) judged() *machine.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.verdict
	r.verdict = nil
	return v
}

// askLimit bounds how long one node is asked.
const askLimit = 2 * time.Second

// A view is what a member answered.
type view struct {
	peer Peer
	err  error
}

// ask asks all other members at once what they are. The answer of whoever stands at a
// member's address is kept under the member's id: it need not be the same node.
func (s *Server) ask(ctx context.Context, members []raftstore.Member) map[string]view {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	views := make(map[string]view, len(members))
	for _, m := range members {
		if m.ID == s.cfg.NodeID {
			continue
		}
		asking.Go(func() {
			var v view
			v.peer, v.err = s.cfg.Ask(ctx, m.Address)
			mu.Lock()
			defer mu.Unlock()
			views[m.ID] = v
		})
	}
	asking.Wait()
	return views
}

// answers says whether a member is where its address says.
func (s *Server) answers(views map[string]view, id string) bool {
	v, asked := views[id]
	return id == s.cfg.NodeID || asked && v.err == nil && v.peer.NodeID == id && v.peer.ClusterID == s.cfg.ClusterID
}

// quorate says whether enough voters answer for entries to be committed, without one of them.
func (s *Server) quorate(views map[string]view, members []raftstore.Member, without string) (answer, voters int) {
	for _, m := range members {
		if !m.Voter || m.ID == without {
			continue
		}
		voters++
		if s.answers(views, m.ID) {
			answer++
		}
	}
	return answer, voters
}

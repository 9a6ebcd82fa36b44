package peer

import (
	"context"
	"fmt"
	"maps"
	"time"

	"coordd.dev/raftstore"
)

const (
	// floorsEvery is how often the members are asked how far they are. What a node loses of
	// less than that no other node need have heard of.
	floorsEvery = 10 * time.Second

	// floorsLimit bounds a round of asking, consultLimit the one before raft starts, which
	// a machine that has vanished holds up.
	floorsLimit  = 2 * time.Second
	consultLimit = time.Second
)

// Floor is the log index up to which another node has said that its state was, the highest
// that this one ever heard; 0 if it has not, or the other one is no member.
func (id *Identity) Floor(nodeID string) uint64 {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.record.Floors[nodeID]
}

// Raise keeps, on disk, how far nodes said that they are. A floor never goes down. That of a
// node which is no member any more is forgotten: an id does not come back.
func (id *Identity) Raise(heard map[string]uint64, members []raftstore.Member) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.givenUp || len(members) == 0 {
		return nil // none are known: raft has not started
	}
	var floors map[string]uint64
	for _, m := range members {
		floor := max(id.record.Floors[m.ID], heard[m.ID])
		if m.ID == id.nodeID || floor == 0 {
			continue
		}
		if floors == nil {
			floors = make(map[string]uint64, len(members))
		}
		floors[m.ID] = floor
	}
	if maps.Equal(floors, id.record.Floors) {
		return nil
	}
	next := id.record
	next.Floors = floors
	if err := writeRecord(id.dir, next); err != nil {
		return fmt.Errorf("keep how far others are: %w", err)
	}
	id.record = next
	return nil
}

// members is the configuration as it was last known here.
func (id *Identity) members() []raftstore.Member {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.record.Members
}

// KeepFloors asks the members, now and then until ctx ends, how far they are, and keeps what
// they say. The error is that this node's data are an old copy. A write that fails is not: what
// is on disk stays true, and a disk that is full must not end a node that could go on.
func (m *Mux) KeepFloors(ctx context.Context) error {
	pause := time.NewTicker(floorsEvery)
	defer pause.Stop()
	for {
		members := m.cfg.Members()
		heard := m.howFar(ctx, members, floorsLimit)
		if err := m.cfg.Identity.Raise(heard, members); err != nil {
			m.cfg.Logger.Warn("what was seen of the other members is not kept; it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.failed:
			return m.Err()
		case <-pause.C:
		}
	}
}

// Consult asks the members that this node last knew, once. It comes before raft starts: a vote
// is the first thing that may be asked of a node, and by one that knows nothing of it. The
// error is that this node's data are an old copy.
func (m *Mux) Consult(ctx context.Context) error {
	m.howFar(ctx, m.cfg.Identity.members(), consultLimit)
	return m.Err()
}

// howFar asks all other members how far they are.
func (m *Mux) howFar(ctx context.Context, members []raftstore.Member, limit time.Duration) map[string]uint64 {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	heard := make(map[string]uint64, len(members))
	m.askAll(ctx, members, func(h Hello) { heard[h.NodeID] = h.Applied })
	return heard
}

// Failed is closed when this node turns out to be an old copy of what it was: it must end.
func (m *Mux) Failed() <-chan struct{} { return m.failed }

// Err says why, once Failed is closed. It is ErrOldCopy.
func (m *Mux) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// heed holds what another node has seen of this one against what this one has. It comes
// before any of raft's bytes, and is for a node of which the handshake has made sure that it is
// the one that it says.
func (m *Mux) heed(floor uint64, nodeID, address string) (refusal, string) {
	if err := m.Err(); err != nil {
		return refusedOldCopy, "this node's data are an old copy, and it ends"
	}
	if floor == 0 {
		return accepted, ""
	}
	reached, known := m.cfg.Reached()
	switch {
	case !known:
		return refusedStarting, "this node starts, and has not read its log yet"
	case floor <= reached:
		return accepted, ""
	}
	m.fail(fmt.Errorf("data directory %s is %w, or its disk lost what it had confirmed: its log ends at entry %d, and node %s "+
		"(%s) has seen this node with entry %d. It must not vote: empty the directory and start the node again; it is then "+
		"a new one, and coordctl member replace %s %s puts it into the old one's place",
		m.cfg.Identity.Dir(), ErrOldCopy, reached, nodeID, address, floor, m.cfg.Identity.NodeID(), m.cfg.Address))
	return refusedOldCopy, fmt.Sprintf("this node's data are an old copy: they end at entry %d, and it was seen with entry %d", reached, floor)
}

// fail says, once, why the node must end.
func (m *Mux) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = err
		close(m.failed)
	}
}

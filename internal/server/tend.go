package server

import (
	"context"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/raftstore"
)

const (
	// tendEvery is how often a leader looks after the members while all is well, tendSoon
	// while there is something to wait for.
	tendEvery = 5 * time.Second
	tendSoon  = 500 * time.Millisecond

	// compareEvery is how often state hashes are compared, if anything was applied
	// (SEMANTICS H3).
	compareEvery = 10 * time.Second

	// askAgain is a little longer than an idle follower takes to hear of the last entry.
	askAgain = 100 * time.Millisecond
)

// A steward looks after the members for as long as this node leads. What there is to do is
// in the configuration and in what the members say, so that the next leader's goes on. Its
// goroutine owns it.
type steward struct {
	*Server
	applied  uint64    // here, when it last looked
	compared time.Time // when hashes were last compared
	index    uint64    // up to which
}

// tend runs a steward until ctx ends.
func (s *Server) tend(ctx context.Context) {
	t := &steward{Server: s, compared: time.Now(), index: s.cfg.Replica.Index()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.changed:
		}
		if t.look(ctx) {
			timer.Reset(tendEvery)
		} else {
			timer.Reset(tendSoon)
		}
	}
}

// look does what is to be done by now, and reports whether that is all.
func (t *steward) look(ctx context.Context) (settled bool) {
	members := t.cfg.Log.Engine().Members()
	applied := t.cfg.Replica.Index()
	views := t.ask(ctx, members)
	settled = true
	for _, m := range members {
		if err := t.member(ctx, m, members, views); err != nil && ctx.Err() == nil {
			t.cfg.Logger.Warn("look after a member", "node", m.ID, "err", err)
		}
		settled = settled && m.Voter && t.answers(views, m.ID)
		if t.answers(views, m.ID) && views[m.ID].peer.Client != "" {
			t.leader.note(m.ID, views[m.ID].peer.Client)
		}
	}
	t.applied = applied
	if !t.upgrade(ctx, members, views) {
		return false
	}
	if time.Since(t.compared) >= compareEvery {
		t.compared = time.Now()
		t.compare(ctx, members)
	}
	return settled
}

// member does what is to be done about one.
func (t *steward) member(ctx context.Context, m raftstore.Member, members []raftstore.Member, views map[string]view) error {
	engine := t.cfg.Log.Engine()
	v := views[m.ID]
	switch {
	case m.ID == t.cfg.NodeID:
		return nil
	case t.answers(views, m.ID):
		if m.Voter || t.applied == 0 || v.peer.Applied < t.applied {
			return nil
		}
		// It has what was applied here when this was last looked at: it is no further
		// behind than that.
		m.Voter = true
		t.cfg.Logger.Info("member has caught up: it gets a vote", "node", m.ID, "applied", v.peer.Applied)
		return engine.SetMember(ctx, m)
	case v.err == nil && v.peer.Replaces == m.ID && v.peer.ClusterID == t.cfg.ClusterID:
		return t.replace(ctx, m, members, views)
	}
	return t.follow(ctx, m, members)
}

// follow changes the address of a member that is elsewhere by now.
func (t *steward) follow(ctx context.Context, m raftstore.Member, members []raftstore.Member) error {
	at := t.cfg.Heard(m.ID)
	if at == "" || at == m.Address || taken(members, at) {
		return nil
	}
	p, err := t.cfg.Ask(ctx, at)
	if err != nil || p.NodeID != m.ID || p.ClusterID != t.cfg.ClusterID {
		return nil //nolint:nilerr // it is asked again when it says so again
	}
	t.cfg.Logger.Info("member has moved", "node", m.ID, "from", m.Address, "to", at)
	m.Address = at
	return t.cfg.Log.Engine().SetMember(ctx, m)
}

// taken says whether a member has the address.
func taken(members []raftstore.Member, address string) bool {
	for _, m := range members {
		if m.Address == address {
			return true
		}
	}
	return false
}

// replace puts a node that had to give up its data into the place of what it was. The old
// one, which can never come back, goes first: two members cannot have one address.
func (t *steward) replace(ctx context.Context, m raftstore.Member, members []raftstore.Member, views map[string]view) error {
	if answer, voters := t.quorate(views, members, m.ID); 2*answer <= voters {
		t.cfg.Logger.Warn("a node that gave up its data must wait: too few others answer",
			"node", views[m.ID].peer.NodeID, "was", m.ID, "answer", answer, "voters", voters)
		return nil
	}
	next := raftstore.Member{ID: views[m.ID].peer.NodeID, Address: m.Address}
	t.cfg.Logger.Info("member gave up its data and is replaced", "node", m.ID, "by", next.ID, "at", next.Address)
	if err := t.cfg.Log.Engine().RemoveMember(ctx, m.ID); err != nil {
		return err
	}
	return t.cfg.Log.Engine().SetMember(ctx, next)
}

// upgrade has the cluster use what all members know (SEMANTICS H2). It reports whether there
// is nothing left to wait for.
func (t *steward) upgrade(ctx context.Context, members []raftstore.Member, views map[string]view) (done bool) {
	now := t.cfg.Replica.State().Version
	if now >= machine.Version {
		return true
	}
	to := uint64(machine.Version)
	for _, m := range members {
		if m.ID == t.cfg.NodeID {
			continue
		}
		if !t.answers(views, m.ID) {
			return false
		}
		to = min(to, views[m.ID].peer.Version)
	}
	if to <= now {
		return true // until its node is started anew, with a newer coordd
	}
	t.cfg.Logger.Info("all members know a newer version of the machine: it is used from now on", "version", to)
	if _, err := t.commit(ctx, &machine.Upgrade{Version: to}); err != nil {
		t.cfg.Logger.Warn("upgrade", "err", err)
		return false
	}
	return true
}

// compare has all members note their state hashes at one index, and all of them told.
func (t *steward) compare(ctx context.Context, members []raftstore.Member) {
	if now := t.cfg.Replica.State(); now.Version < 2 || now.Index == t.index || len(members) < 2 {
		return
	}
	index, err := t.commit(ctx, &machine.Checkpoint{})
	if err != nil {
		return // the next leader compares
	}
	views := t.reached(ctx, index, members)
	v := &machine.Verdict{Index: index}
	for _, m := range members {
		progress := views[m.ID].peer.Progress
		if m.ID == t.cfg.NodeID {
			progress = t.cfg.Replica.Progress()
		}
		for _, n := range progress.Notes {
			if n.Index == index && t.answers(views, m.ID) {
				v.Hashes = append(v.Hashes, machine.NodeHash{Node: m.ID, Hash: n.Hash})
			}
		}
	}
	if len(v.Hashes) > 1 && len(v.Hashes) <= machine.MaxHashes {
		t.index, _ = t.commit(ctx, v) // if that fails it is compared again
	}
}

// reached asks the members until those that answer have applied the entry, for a while: one
// that is further behind is compared another time.
func (t *steward) reached(ctx context.Context, index uint64, members []raftstore.Member) map[string]view {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	for {
		views, behind := t.ask(ctx, members), false
		for _, m := range members {
			behind = behind || m.ID != t.cfg.NodeID && t.answers(views, m.ID) && views[m.ID].peer.Applied < index
		}
		if !behind {
			return views
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return views
		}
	}
}

// commit commits a command of the shell's own and returns its index.
func (t *steward) commit(ctx context.Context, c machine.Command) (index uint64, err error) {
	index, _, err = t.cfg.Log.Propose(ctx, machine.AppendCommand(nil, c))
	return index, err
}

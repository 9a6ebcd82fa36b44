package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coordd.dev/raftstore"
)

// testChanges: under load a follower is removed, comes back without a vote, gets one, and
// then leads. Only the leader can do any of it, and all of it may be asked again.
func testChanges(h *harness) {
	stop := h.load()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	state, _ := h.leader().engine.State()
	members := h.leader().engine.Members()
	m := members[slices.IndexFunc(members, func(m raftstore.Member) bool { return m.ID != state.LeaderID })]
	without := m
	without.Voter = false
	for _, step := range []struct {
		do   func(raftstore.Engine) error
		want *raftstore.Member
	}{
		{func(e raftstore.Engine) error { return e.RemoveMember(ctx, m.ID) }, nil},
		{func(e raftstore.Engine) error { return e.SetMember(ctx, without) }, &without},
		{func(e raftstore.Engine) error { return e.SetMember(ctx, m) }, &m},
		{func(e raftstore.Engine) error { return e.SetMember(ctx, without) }, &m}, // it takes no vote away
	} {
		h.steadily(func(leader *node) error { return h.change(leader, m.ID, step.do, step.want) })
	}
	h.steadily(func(leader *node) error {
		if err := leader.engine.Transfer(ctx, "nobody"); !errors.Is(err, raftstore.ErrNoVoter) {
			h.t.Errorf("transfer to nobody: %v", err)
		}
		if state, _ := leader.engine.State(); state.LeaderID == m.ID {
			return nil
		}
		if err := leader.engine.Transfer(ctx, m.ID); err != nil {
			return err
		}
		next := h.leaderUnless(nil, func(n *node, _ uint64) bool { return n != leader })
		if state, _ := next.engine.State(); h.bubble && state.LeaderID != m.ID {
			h.t.Errorf("%s leads, not %s", state.LeaderID, m.ID)
		}
		return nil
	})
	stop()
	h.settle()
}

// change does a change twice on the leader, and once in vain on another node.
func (h *harness) change(leader *node, id string, do func(raftstore.Engine) error, want *raftstore.Member) error {
	for _, n := range h.running() {
		if n == leader || !h.bubble { // outside it may lead by now
			continue
		}
		if err := do(n.engine); !errors.Is(err, raftstore.ErrNotLeader) {
			h.t.Errorf("change on a follower: %v", err)
		}
	}
	for range 2 {
		if err := do(leader.engine); err != nil {
			return fmt.Errorf("change member %s: %w", id, err)
		}
	}
	var got *raftstore.Member
	for _, m := range leader.engine.Members() {
		if m.ID == id {
			got = &m
		}
	}
	if (got == nil) != (want == nil) || got != nil && *got != *want {
		h.t.Errorf("the leader has %+v, not %+v", got, want)
	}
	return nil
}

package hraft

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
)

// Members is part of raftstore.Engine.
func (e *Engine) Members() []raftstore.Member {
	servers := e.raft.GetConfiguration().Configuration().Servers
	members := make([]raftstore.Member, len(servers))
	for i, s := range servers {
		members[i] = raftstore.Member{
			ID:      string(s.ID),
			Address: string(s.Address),
			Voter:   s.Suffrage == raft.Voter,
		}
	}
	return members
}

// SetMember is part of raftstore.Engine.
func (e *Engine) SetMember(ctx context.Context, m raftstore.Member) error {
	change := e.raft.AddNonvoter
	if m.Voter {
		change = e.raft.AddVoter
	}
	err := e.await(ctx, func() raft.Future {
		return lazy(func() error {
			return change(raft.ServerID(m.ID), raft.ServerAddress(m.Address), 0, enqueueTimeout).Error()
		})
	})
	if err != nil {
		return fmt.Errorf("set member %s: %w", m.ID, err)
	}
	return nil
}

// RemoveMember is part of raftstore.Engine.
func (e *Engine) RemoveMember(ctx context.Context, id string) error {
	err := e.await(ctx, func() raft.Future {
		return lazy(func() error { return e.raft.RemoveServer(raft.ServerID(id), 0, enqueueTimeout).Error() })
	})
	if err != nil {
		return fmt.Errorf("remove member %s: %w", id, err)
	}
	return nil
}

// Transfer is part of raftstore.Engine.
func (e *Engine) Transfer(ctx context.Context, id string) error {
	transfer := e.raft.LeadershipTransfer
	if id != "" {
		members := e.Members()
		i := slices.IndexFunc(members, func(m raftstore.Member) bool { return m.ID == id && m.Voter })
		if i < 0 {
			return fmt.Errorf("transfer leadership to %s: %w", id, raftstore.ErrNoVoter)
		}
		transfer = func() raft.Future {
			return e.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(members[i].Address))
		}
	}
	if err := e.await(ctx, transfer); err != nil {
		return fmt.Errorf("transfer leadership: %w", err)
	}
	return nil
}

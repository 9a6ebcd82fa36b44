package server

import (
	"context"
	"fmt"
	"slices"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/raftstore"
)

// maxMembers is more than anybody runs: raft is slower with each voter.
const maxMembers = 64

func unsuited(format string, args ...any) error {
	return Error(coordv1.Reason_REASON_UNFIT, fmt.Sprintf(format, args...), nil)
}

// AddMember implements coordv1.ClusterServiceServer.
func (c *cluster) AddMember(ctx context.Context, req *coordv1.AddMemberRequest) (*coordv1.AddMemberResponse, error) {
	what := "member add " + req.GetPeerAddress()
	if err := c.managed(what); err != nil {
		return nil, err
	}
	if req.GetPeerAddress() == "" {
		return nil, invalid("member add: no address; give that of its peer port, host:port")
	}
	p, err := c.whoIs(ctx, req.GetPeerAddress())
	if err != nil {
		return nil, unsuited("%s: no node answers there: %v; start it with --join and this cluster's peer addresses, then add it", what, err)
	}
	if id := req.GetNodeId(); id != "" && id != p.NodeID {
		return nil, unsuited("%s: node %s answers there, not %s; look whether its data directory was replaced", what, p.NodeID, id)
	}
	m, err := c.candidate(what, &p)
	if err != nil {
		return nil, err
	}
	if err := c.cfg.Log.Engine().SetMember(ctx, m); err != nil {
		return nil, c.changeFailed(ctx, what, err)
	}
	c.cfg.Logger.InfoContext(ctx, "member set", "node", m.ID, "address", m.Address, "voter", m.Voter)
	select {
	case c.changed <- struct{}{}:
	default: // the steward will look anyway
	}
	return &coordv1.AddMemberResponse{Member: &coordv1.Member{Id: m.ID, PeerAddress: m.Address, Voter: m.Voter}}, nil
}

// whoIs asks who is at an address; of this node's own it knows, and cannot ask itself.
func (c *cluster) whoIs(ctx context.Context, address string) (Peer, error) {
	for _, m := range c.cfg.Log.Engine().Members() {
		if m.ID == c.cfg.NodeID && m.Address == address {
			return Peer{NodeID: m.ID, ClusterID: c.cfg.ClusterID, Address: address, Member: true, Progress: c.cfg.Replica.Progress()}, nil
		}
	}
	return c.cfg.Ask(ctx, address)
}

// candidate is what a node is to be in the configuration, or why it cannot be in it.
func (c *cluster) candidate(what string, p *Peer) (raftstore.Member, error) {
	members := c.cfg.Log.Engine().Members()
	m := raftstore.Member{ID: p.NodeID, Address: p.Address}
	at := slices.IndexFunc(members, func(m raftstore.Member) bool { return m.ID == p.NodeID })
	other := slices.IndexFunc(members, func(m raftstore.Member) bool { return m.ID != p.NodeID && m.Address == p.Address })
	version := c.cfg.Replica.State().Version
	switch {
	case p.ClusterID == "":
		return m, unsuited("%s: the node is of no cluster yet; start it with --join, naming peer addresses of this cluster", what)
	case p.ClusterID != c.cfg.ClusterID:
		return m, unsuited("%s: the node is of cluster %s, this is %s; empty its data directory and start it with --join",
			what, p.ClusterID, c.cfg.ClusterID)
	case other >= 0:
		return m, Error(coordv1.Reason_REASON_UNFIT, fmt.Sprintf("%s: the address is that of member %s; if its data are gone: coordctl member replace %s %s",
			what, members[other].ID, members[other].ID, p.Address), map[string]string{metaMember: members[other].ID})
	case at >= 0:
		m.Voter = members[at].Voter
	case p.Member:
		return m, unsuited("%s: node %s was removed from this cluster; empty its data directory, start it again and add the new node",
			what, p.NodeID)
	case p.Version < version:
		return m, unsuited("%s: the cluster uses version %d of the machine and the node knows %d; start a newer coordd there",
			what, version, p.Version)
	case len(members) >= maxMembers:
		return m, Error(coordv1.Reason_REASON_LIMIT, fmt.Sprintf("%s: there are %d members; remove one first", what, len(members)),
			map[string]string{metaLimit: "members"})
	}
	return m, nil
}

// RemoveMember implements coordv1.ClusterServiceServer.
func (c *cluster) RemoveMember(ctx context.Context, req *coordv1.RemoveMemberRequest) (*coordv1.RemoveMemberResponse, error) {
	id := req.GetNodeId()
	what := "member rm " + id
	if err := c.managed(what); err != nil {
		return nil, err
	}
	members := c.cfg.Log.Engine().Members()
	at := slices.IndexFunc(members, func(m raftstore.Member) bool { return m.ID == id })
	if at < 0 {
		return nil, Error(coordv1.Reason_REASON_NOT_FOUND, what+": there is no such member; see coordctl member ls", nil)
	}
	if members[at].Voter {
		if err := c.spare(ctx, what, id, members); err != nil {
			return nil, err
		}
	}
	if id == c.cfg.NodeID {
		return c.leave(ctx, what, req)
	}
	if err := c.cfg.Log.Engine().RemoveMember(ctx, id); err != nil {
		return nil, c.changeFailed(ctx, what, err)
	}
	c.cfg.Logger.InfoContext(ctx, "member removed", "node", id)
	return &coordv1.RemoveMemberResponse{}, nil
}

// spare says why a voter cannot be done without, if it cannot.
func (c *cluster) spare(ctx context.Context, what, id string, members []raftstore.Member) error {
	answer, voters := c.quorate(c.ask(ctx, members), members, id)
	switch {
	case voters == 0:
		return unsuited("%s: it is the only one with a vote; add another and wait for its vote first", what)
	case 2*answer <= voters:
		return unsuited("%s: of the other %d with a vote only %d answer, too few to go on without it; start them first, or add others",
			what, voters, answer)
	}
	return nil
}

// leave hands leadership over and has the next leader remove this node.
func (c *cluster) leave(ctx context.Context, what string, req *coordv1.RemoveMemberRequest) (*coordv1.RemoveMemberResponse, error) {
	next, err := c.handTo(ctx, what, "")
	if err != nil {
		return nil, err
	}
	out, err := c.forward.unary(ctx, next, coordv1.ClusterService_RemoveMember_FullMethodName, req)
	if err != nil {
		return nil, err
	}
	removed, _ := out.(*coordv1.RemoveMemberResponse)
	return removed, nil
}

// TransferLeader implements coordv1.ClusterServiceServer.
func (c *cluster) TransferLeader(ctx context.Context, req *coordv1.TransferLeaderRequest) (*coordv1.TransferLeaderResponse, error) {
	to := req.GetNodeId()
	what := "member transfer"
	if to != "" {
		what += " " + to
	}
	if to == c.cfg.NodeID {
		return &coordv1.TransferLeaderResponse{LeaderId: to}, nil
	}
	isIt := func(m raftstore.Member) bool { return m.ID != c.cfg.NodeID && m.Voter && (to == "" || m.ID == to) }
	if !slices.ContainsFunc(c.cfg.Log.Engine().Members(), isIt) {
		return nil, Error(coordv1.Reason_REASON_NOT_FOUND, what+": there is no such member with a vote; see coordctl member ls", nil)
	}
	next, err := c.handTo(ctx, what, to)
	if err != nil {
		return nil, err
	}
	return &coordv1.TransferLeaderResponse{LeaderId: next}, nil
}

// handTo hands leadership to a node, to any if to is empty, and returns who leads then.
func (c *cluster) handTo(ctx context.Context, what, to string) (leader string, err error) {
	limited, cancel := context.WithTimeout(ctx, transferLimit)
	defer cancel()
	if err := c.cfg.Log.Engine().Transfer(limited, to); err != nil {
		return "", c.changeFailed(ctx, what, err)
	}
	for {
		l, changed := c.cfg.Log.Leadership()
		if l.LeaderID != "" && l.LeaderID != c.cfg.NodeID {
			return l.LeaderID, nil
		}
		select {
		case <-changed:
		case <-c.stopping:
			return "", errStopping()
		case <-limited.Done():
			return "", errNoLeader(what, "")
		}
	}
}

// managed says why the members cannot be changed here, if they cannot.
func (c *cluster) managed(what string) error {
	if c.cfg.Ask == nil {
		return unsuited("%s: the members of this cluster are fixed", what)
	}
	return nil
}

// changeFailed is the status of a change of members that failed.
func (c *cluster) changeFailed(ctx context.Context, what string, err error) error {
	return proposalError(ctx, what, "ask again, it is harmless", c.leaderHint(), err)
}

package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/election"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// elections implements coordv1.ElectionServiceServer, on the leader only.
type elections struct {
	coordv1.UnimplementedElectionServiceServer
	*Server
}

// Campaign implements coordv1.ElectionServiceServer.
func (e *elections) Campaign(ctx context.Context, req *coordv1.CampaignRequest) (*coordv1.CampaignResponse, error) {
	what := about("campaign", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	if err := checkName(what, req.GetName()); err != nil {
		return nil, err
	}
	if err := checkSize(what, "value", len(req.GetValue()), election.MaxValue); err != nil {
		return nil, err
	}
	arm := park.Arm{On: electionNamed(req.GetName()), N: 1, Value: req.GetValue()}
	if c.Op, err = waitOf(ctx, what, req, req.GetLockDelay(), arm); err != nil {
		return nil, err
	}
	term, err := e.hold(ctx, what, c)
	if err != nil {
		return nil, err
	}
	return &coordv1.CampaignResponse{Term: uint64(term)}, nil
}

func electionNamed(name string) park.Object { return park.Object{Kind: park.KindElection, Name: name} }

// Proclaim implements coordv1.ElectionServiceServer.
func (e *elections) Proclaim(ctx context.Context, req *coordv1.ProclaimRequest) (*coordv1.ProclaimResponse, error) {
	const what = "proclaim"
	c, err := aboutOf(what, req.GetLease(), req.GetRequestId(), "leadership", req.GetLeadership())
	if err != nil {
		return nil, err
	}
	if err := checkSize(what, "value", len(req.GetValue()), election.MaxValue); err != nil {
		return nil, err
	}
	c.Op.Do, c.Op.Value = machine.DoProclaim, req.GetValue()
	if err := e.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.ProclaimResponse{}, nil
}

// Resign implements coordv1.ElectionServiceServer.
func (e *elections) Resign(ctx context.Context, req *coordv1.ResignRequest) (*coordv1.ResignResponse, error) {
	if err := e.endCall(ctx, "resign", req.GetLease(), "leadership", req.GetLeadership()); err != nil {
		return nil, err
	}
	return &coordv1.ResignResponse{}, nil
}

// TransferLeadership implements coordv1.ElectionServiceServer.
func (e *elections) TransferLeadership(ctx context.Context, req *coordv1.TransferLeadershipRequest) (*coordv1.TransferLeadershipResponse, error) {
	const what = "transfer leadership"
	c, err := aboutOf(what, req.GetLease(), req.GetRequestId(), "leadership", req.GetLeadership())
	if err != nil {
		return nil, err
	}
	if req.GetToSessionId() == 0 {
		return nil, invalid("%s: to_session_id is 0; name the session of a candidate that waits", what)
	}
	c.Op.Do, c.Op.Heir = machine.DoTransfer, park.SessionID(req.GetToSessionId())
	if err := e.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.TransferLeadershipResponse{}, nil
}

// GetLeader implements coordv1.ElectionServiceServer.
func (e *elections) GetLeader(ctx context.Context, req *coordv1.GetLeaderRequest) (*coordv1.GetLeaderResponse, error) {
	what := about("get leader", req.GetName())
	if err := checkName(what, req.GetName()); err != nil {
		return nil, err
	}
	on := electionNamed(req.GetName())
	if req.GetStale() {
		return leaderOf(what, e.cfg.Replica.describe(on))
	}
	d, err := e.describe(ctx, what, on)
	if err != nil {
		return nil, err
	}
	return leaderOf(what, d)
}

// leaderOf is who leads an election. One whose session has ended leads no more, even while
// its lock-delay keeps others out.
func leaderOf(what string, d *machine.Description) (*coordv1.GetLeaderResponse, error) {
	if len(d.Holders) == 0 {
		return nil, Error(coordv1.Reason_REASON_NOT_FOUND, what+": nobody leads; watch the election, or campaign", nil)
	}
	h := &d.Holders[0]
	if h.Delayed != 0 {
		return nil, Error(coordv1.Reason_REASON_NOT_FOUND,
			what+": nobody leads: the last leader failed and its lock-delay lasts "+short(h.Delayed)+" more; ask again then", nil)
	}
	return &coordv1.GetLeaderResponse{
		Value: h.Value, Term: uint64(h.Token), Leader: partyOf(h), Index: d.Index,
	}, nil
}

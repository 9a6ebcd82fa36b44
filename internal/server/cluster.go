package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
)

// cluster implements coordv1.ClusterServiceServer. Status is of this node; all else runs on
// the leader only: interceptors have passed on every other call.
type cluster struct {
	coordv1.UnimplementedClusterServiceServer
	*Server
}

// Status implements coordv1.ClusterServiceServer. It never waits.
func (c *cluster) Status(ctx context.Context, _ *coordv1.StatusRequest) (*coordv1.StatusResponse, error) {
	engine := c.cfg.Log.Engine()
	leadership, _ := c.cfg.Log.Leadership()
	state := c.cfg.Replica.State()
	out := &coordv1.StatusResponse{
		ClusterId:    state.Cluster,
		NodeId:       c.cfg.NodeID,
		NodeName:     c.cfg.NodeName,
		Version:      c.cfg.Version,
		Engine:       engine.Name(),
		Term:         leadership.Term,
		LeaderId:     leadership.LeaderID,
		Leading:      leadership.Leading,
		Ready:        true,
		AppliedIndex: state.Index,
		Clock:        durationOf(int64(state.Clock)),
		StateHash:    state.Hash,
		Counts: &coordv1.Counts{
			Sessions: state.Counts.Sessions,
			Holds:    state.Counts.Holds,
			Waiters:  state.Counts.Waiters,
		},
	}
	if leadership.LeaderID != "" {
		out.LeaderAddress = c.leader.known(leadership.LeaderID)
	}
	if err := c.Ready(); err != nil {
		out.Ready, out.NotReadyReason = false, err.Error()
	}
	for _, m := range engine.Members() {
		at := c.leader.known(m.ID)
		if m.ID == c.cfg.NodeID {
			at, _ = c.cfg.Locate(ctx, m.ID) // "" if it is not known
		}
		out.Members = append(out.Members, &coordv1.Member{
			Id:          m.ID,
			PeerAddress: m.Address,
			Voter:       m.Voter,
			Leader:      m.ID == leadership.LeaderID,

			ClientAddress: at,
		})
	}
	return out, nil
}

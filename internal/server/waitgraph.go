package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// GetWaitGraph implements coordv1.InspectServiceServer. The graph is too much to be worked out
// on every node: this one, which leads, looks at its own state once that has all that the
// log had when the call began.
func (i *inspect) GetWaitGraph(ctx context.Context, req *coordv1.GetWaitGraphRequest) (*coordv1.GetWaitGraphResponse, error) {
	const what = "wait graph"
	on, most := park.Object{}, int(req.GetLimit())
	if req.GetKind() != coordv1.Kind_KIND_UNSPECIFIED || req.GetName() != "" {
		var err error
		if on, err = objectOf(what, req.GetKind(), req.GetName()); err != nil {
			return nil, err
		}
	}
	if most == 0 {
		most = graphDefault
	}
	if most < 0 || most > graphMost {
		return nil, invalid("%s: limit is %d; choose 1 to %d", what, most, graphMost)
	}
	if _, err := i.read(ctx, what, &machine.List{Max: 1}); err != nil {
		return nil, err
	}
	graph, unsearched := i.cfg.Replica.waitGraph(on, most)
	out := &coordv1.GetWaitGraphResponse{Index: graph.Index, Cut: graph.Cut, Unsearched: unsearched}
	for k := range graph.Calls {
		c := &graph.Calls[k]
		call := &coordv1.WaitGraphCall{Party: partyOf(&c.Party), Seq: uint64(c.ID.Seq), Waits: c.Waits}
		for _, r := range c.Objects {
			call.Objects = append(call.Objects, refOf(r))
		}
		out.Calls = append(out.Calls, call)
	}
	for _, e := range graph.Edges {
		out.Edges = append(out.Edges, &coordv1.WaitGraphEdge{
			Type:          coordv1.WaitGraphEdgeType(e.Why),
			FromSessionId: uint64(e.From.Session), FromSeq: uint64(e.From.Seq),
			ToSessionId: uint64(e.To.Session), ToSeq: uint64(e.To.Seq),
			On: refOf(machine.Ref{On: e.On}),
		})
	}
	return out, nil
}

// waitGraph is the graph as it is here, and how many waits this node could not search.
func (r *Replica) waitGraph(on park.Object, most int) (graph machine.WaitGraph, unsearched uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.WaitGraph(on, most), r.machine.Unsearched()
}

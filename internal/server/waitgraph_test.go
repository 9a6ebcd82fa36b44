package server_test

import (
	"testing"
	"testing/synctest"

	coordv1 "coordd.dev/api/coord/v1"
)

// The graph has what stands behind a wait, and is of all that happened before it was asked for.
func TestGetWaitGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		held := a.send(lockOp("x"))
		a.want(held, coordv1.Code_CODE_GRANTED)
		b.want(b.send(lockOp("y")), coordv1.Code_CODE_GRANTED)
		wait := lockOp("y")
		wait.GetWait().Lineage = []*coordv1.NamedHold{{SessionId: a.id, Seq: held}}
		wait.GetWait().Site = "a.go:7"
		a.send(wait)
		b.send(lockOp("x"))
		synctest.Wait()

		got, err := inspector(n).GetWaitGraph(t.Context(), &coordv1.GetWaitGraphRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		var types []coordv1.WaitGraphEdgeType
		for _, e := range got.GetEdges() {
			types = append(types, e.GetType())
		}
		if len(types) != 3 || types[0] != coordv1.WaitGraphEdgeType_WAIT_GRAPH_EDGE_TYPE_HELD ||
			types[1] != coordv1.WaitGraphEdgeType_WAIT_GRAPH_EDGE_TYPE_KEPT || types[2] != types[0] || got.GetCut() || got.GetUnsearched() != 0 {
			t.Errorf("%v", got)
		}
		if k := got.GetEdges()[1]; k.GetFromSessionId() != a.id || k.GetFromSeq() != held || k.GetOn().GetName() != "x" {
			t.Errorf("kept: %v", k)
		}
		if w := got.GetCalls()[2]; !w.GetWaits() || w.GetObjects()[0].GetSite() != "a.go:7" || w.GetParty().GetSessionId() != a.id {
			t.Errorf("the wait that keeps it: %v", w)
		}
		all, err := inspector(n).GetWaitGraph(t.Context(), &coordv1.GetWaitGraphRequest{Limit: 2})
		if err != nil || len(all.GetEdges()) != 2 || !all.GetCut() {
			t.Errorf("two edges of everything: %v, %v", all, err)
		}
		for _, req := range []*coordv1.GetWaitGraphRequest{
			{Kind: 99, Name: "x"}, {Name: "x"}, {Kind: coordv1.Kind_KIND_LOCK}, {Limit: 4_097}, {Limit: -1},
		} {
			_, err := inspector(n).GetWaitGraph(t.Context(), req)
			wantReason(t, err, coordv1.Reason_REASON_INVALID)
		}
	})
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the cluster as each endpoint sees it",
		Long: `Ask every endpoint what it is and whom it takes for the leader.

Exit codes: 0 if a node is ready, 1 if some answer and none is, 6 if none answers.`,
		Example: `  coordctl status
  coordctl --endpoints 10.0.0.1:7600,10.0.0.2:7600 --cacert ca.pem status -o json`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	}
}

// A nodeView is what one endpoint says. Ids, hashes and indexes are strings, so that
// no tool rounds them.
type nodeView struct {
	Endpoint string `json:"endpoint"`
	Error    string `json:"error,omitempty"`
	Node     string `json:"node,omitempty"`
	NodeID   string `json:"node_id,omitempty"`
	Cluster  string `json:"cluster_id,omitempty"`
	Version  string `json:"version,omitempty"`
	Engine   string `json:"engine,omitempty"`
	Role     string `json:"role,omitempty"` // leader or follower
	Ready    bool   `json:"ready"`
	NotReady string `json:"not_ready_reason,omitempty"`
	Leader   string `json:"leader_address,omitempty"`
	Term     string `json:"term,omitempty"`
	Applied  string `json:"applied_index,omitempty"`
	Hash     string `json:"state_hash,omitempty"`
	Clock    string `json:"clock,omitempty"`
	Sessions int64  `json:"sessions"`
	Holds    int64  `json:"holds"`
	Waiters  int64  `json:"waiters"`

	Members []memberView `json:"members,omitempty"`
}

type memberView struct {
	ID      string `json:"id"`
	Address string `json:"peer_address"`
	Client  string `json:"client_address,omitempty"` // as far as the node knows
	Voter   bool   `json:"voter"`
	Leader  bool   `json:"leader"`
}

func (a *app) status(ctx context.Context) error {
	targets, err := a.targets()
	if err != nil {
		return &failure{what: err.Error(), next: "write host:port[,host:port...]", code: exitUsage}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()

	views := make([]nodeView, len(targets))
	errs := make([]error, len(targets))
	var wg sync.WaitGroup
	for i, endpoint := range targets {
		wg.Go(func() { views[i], errs[i] = a.askStatus(ctx, endpoint) })
	}
	wg.Wait()

	ready, answered := false, false
	for i := range views {
		answered = answered || errs[i] == nil
		ready = ready || views[i].Ready
	}
	if !answered {
		err := slices.MaxFunc(errs, func(a, b error) int { return cmp.Compare(telling(a), telling(b)) }) // the first of them
		fail := callError("status", strings.Join(targets, ","), err)
		if reason(err) == coordv1.Reason_REASON_UNAUTHENTICATED {
			return fail
		}
		fail.code = exitUnavailable // whatever it is that does not answer as a node does
		return fail
	}
	if err := a.render(struct {
		Nodes []nodeView `json:"nodes"`
	}{views}, func(t *table) { statusTable(t, views) }); err != nil {
		return err
	}
	if !ready {
		return exitCode(exitFailed)
	}
	return nil
}

func (a *app) askStatus(ctx context.Context, endpoint string) (nodeView, error) {
	view := nodeView{Endpoint: endpoint}
	err := a.node(ctx, endpoint, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		s, err := coordv1.NewClusterServiceClient(conn).Status(ctx, &coordv1.StatusRequest{})
		if err == nil {
			view.fill(s)
		}
		return err
	})
	if err != nil {
		view.Error = callError("status", endpoint, err).why
	}
	return view, err
}

func (v *nodeView) fill(s *coordv1.StatusResponse) {
	v.Node, v.NodeID, v.Cluster = s.GetNodeName(), s.GetNodeId(), s.GetClusterId()
	v.Version, v.Engine = s.GetVersion(), s.GetEngine()
	v.Role = "follower"
	if s.GetLeading() {
		v.Role = "leader"
	}
	v.Ready, v.NotReady, v.Leader = s.GetReady(), s.GetNotReadyReason(), s.GetLeaderAddress()
	v.Term = strconv.FormatUint(s.GetTerm(), 10)
	v.Applied = strconv.FormatUint(s.GetAppliedIndex(), 10)
	v.Hash = fmt.Sprintf("%016x", s.GetStateHash())
	v.Clock = s.GetClock().AsDuration().String()
	v.Sessions, v.Holds, v.Waiters = s.GetCounts().GetSessions(), s.GetCounts().GetHolds(), s.GetCounts().GetWaiters()
	for _, m := range s.GetMembers() {
		v.Members = append(v.Members, memberView{m.GetId(), m.GetPeerAddress(), m.GetClientAddress(), m.GetVoter(), m.GetLeader()})
	}
}

func statusTable(t *table, views []nodeView) {
	t.row("ENDPOINT", "NODE", "ROLE", "READY", "TERM", "APPLIED", "SESSIONS", "HOLDS", "WAITERS", "VERSION")
	var members []memberView // as the first that is ready knows them
	for _, v := range views {
		if v.Error != "" {
			t.row(v.Endpoint, "-", "-", "no: "+v.Error, "-", "-", "-", "-", "-", "-")
			continue
		}
		ready := "yes"
		if !v.Ready {
			ready = "no: " + v.NotReady
		}
		t.row(v.Endpoint, show(v.Node), v.Role, ready, v.Term, v.Applied,
			strconv.FormatInt(v.Sessions, 10), strconv.FormatInt(v.Holds, 10), strconv.FormatInt(v.Waiters, 10), show(v.Version))
		if len(members) == 0 && v.Ready {
			members = v.Members
		}
	}
	if len(members) == 0 {
		members = views[0].Members
	}
	if len(members) == 0 {
		return
	}
	t.row()
	memberRows(t, members)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

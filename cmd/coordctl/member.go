package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

// memberPause is between two looks at a node that catches up: nothing tells of that.
const memberPause = 250 * time.Millisecond

func (a *app) memberCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "member",
		Short: "List, add, remove and replace nodes, or move the leadership",
		Long: `List, add, remove and replace nodes, or move the leadership.

A node that is to be added is started first, with --join and the peer addresses of the
cluster; it then waits to be added. It gets a vote once it has caught up. A node is named
by its id or by its peer address, as member ls shows them.`,
		Example: `  coordctl member ls
  coordctl member add 10.0.0.4:7601
  coordctl member replace 3f6a09c1d2e4b587 10.0.0.4:7601`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(a.memberLs(), a.memberAdd(), a.memberRm(), a.memberReplace(), a.memberTransfer())
	return group
}

func (a *app) memberLs() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the nodes",
		Example: `  coordctl member ls -o json`,
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.listMembers(cmd.Context(), "member ls", patternOf(nil))
		},
	}
}

func (a *app) memberAdd() *cobra.Command {
	wait := duration(5 * time.Minute)
	cmd := &cobra.Command{
		Use:   "add [-w DUR] PEER-ADDRESS",
		Short: "Add the node that waits at a peer address",
		Long: `Add the node that waits at a peer address, and wait until it has caught up and has a
vote. Asking again is harmless: of a member it changes nothing. The node is started first:

  coordd --join 10.0.0.1:7601,10.0.0.2:7601,10.0.0.3:7601 --listen-peer 10.0.0.4:7601 ...

Exit codes: 0 it has a vote; 5 the cluster refuses it, and says why; 6 no node answers;
124 it was added and has no vote yet after -w.`,
		Example: `  coordctl member add 10.0.0.4:7601`,
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.addMember(cmd.Context(), args[0], time.Duration(wait))
		},
	}
	cmd.Flags().VarP(&wait, "wait", "w", "how long to wait for its vote; 0: not at all")
	return cmd
}

func (a *app) memberRm() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NODE",
		Short: "Remove a node for good",
		Long: `Remove a node for good: to come back it needs an empty data directory, and is then another
node. Refused if too few of the others answer to go on without it. One that leads hands
over first.`,
		Example: `  coordctl member rm 3f6a09c1d2e4b587
  coordctl member rm 10.0.0.3:7601`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, _, err := a.findMember(cmd.Context(), "member rm", args[0])
			if err != nil {
				return err
			}
			return a.removeMember(cmd.Context(), "member rm", id)
		},
	}
}

func (a *app) memberReplace() *cobra.Command {
	wait := duration(5 * time.Minute)
	cmd := &cobra.Command{
		Use:   "replace [-w DUR] NODE PEER-ADDRESS",
		Short: "Put the node that waits at a peer address in the place of another",
		Long: `Add the node that waits at a peer address, wait until it has a vote, and remove the other.
If it is at the other's own address, because the data there were lost, that one is removed
first, once the new one answers there. If it is interrupted, the same command goes on.`,
		Example: `  coordctl member replace 3f6a09c1d2e4b587 10.0.0.4:7601`,
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.replaceMember(cmd.Context(), args[0], args[1], time.Duration(wait))
		},
	}
	cmd.Flags().VarP(&wait, "wait", "w", "how long to wait for its vote")
	return cmd
}

func (a *app) memberTransfer() *cobra.Command {
	return &cobra.Command{
		Use:   "transfer [NODE]",
		Short: "Move the leadership, to a node or to any other",
		Example: `  coordctl member transfer
  coordctl member transfer 10.0.0.2:7601`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.transferLeader(cmd.Context(), args)
		},
	}
}

// members are those of the configuration, as one node of them knows it: a node that waits to be
// added knows of none.
func (a *app) members(ctx context.Context, what string) ([]*coordv1.Member, error) {
	var s *coordv1.StatusResponse
	err := a.anyNode(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
		s, err = coordv1.NewClusterServiceClient(conn).Status(ctx, &coordv1.StatusRequest{})
		if err == nil && len(s.GetMembers()) == 0 {
			return errOutside
		}
		return err
	})
	return s.GetMembers(), err
}

// findMember finds a member by its id or its peer address.
func (a *app) findMember(ctx context.Context, what, name string) (id, address string, err error) {
	members, err := a.members(ctx, what)
	if err != nil {
		return "", "", err
	}
	for _, m := range members {
		if m.GetId() == name || m.GetPeerAddress() == name {
			return m.GetId(), m.GetPeerAddress(), nil
		}
	}
	return "", "", &failure{what: what + " " + show(name), why: "there is no such member", next: "see coordctl member ls", code: exitNotFound}
}

// addMember adds the node at an address and waits for its vote.
func (a *app) addMember(ctx context.Context, address string, wait time.Duration) error {
	what := "member add " + show(address)
	var added *coordv1.Member
	err := a.anyNode(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		r, err := coordv1.NewClusterServiceClient(conn).AddMember(ctx, &coordv1.AddMemberRequest{PeerAddress: address})
		added = r.GetMember()
		return err
	})
	if err != nil {
		return changing(err)
	}
	id := added.GetId()
	if !added.GetVoter() {
		fmt.Fprintf(a.stderr, "coordctl: %s: node %s is added and catches up\n", what, id)
	}
	if wait > 0 && !added.GetVoter() {
		if err := a.awaitVote(ctx, what, id, wait); err != nil {
			return err
		}
	}
	return a.text("added " + id + " at " + added.GetPeerAddress() + "\n")
}

// awaitVote returns once a member has a vote.
func (a *app) awaitVote(ctx context.Context, what, id string, wait time.Duration) error {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		members, err := a.members(ctx, what)
		if err == nil && slices.ContainsFunc(members, func(m *coordv1.Member) bool { return m.GetId() == id && m.GetVoter() }) {
			return nil
		}
		select {
		case <-time.After(memberPause):
		case <-limit.C:
			return &failure{
				what: what, why: "it is added, and has not caught up in " + short(wait),
				next: "see what the node logs; it gets its vote by itself", code: exitTimeout,
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// steadily asks until a node answers, for as long as the command may take: a leader that
// hands over cuts off those who ask it through other nodes. What it asks may be asked twice.
func (a *app) steadily(ctx context.Context, what string, f func(context.Context, grpc.ClientConnInterface) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	unheard := false
	for {
		err := a.anyNode(ctx, what, f)
		fail, ok := errors.AsType[*failure](err)
		if !ok {
			return err
		}
		unheard = unheard || fail.unheard
		fail.unheard = unheard
		if fail.code == exitNotFound && unheard {
			return nil // the first try did it
		}
		if fail.code != exitUnavailable {
			return fail
		}
		select {
		case <-time.After(memberPause):
		case <-ctx.Done():
			return fail
		}
	}
}

func (a *app) removeMember(ctx context.Context, what, id string) error {
	err := a.steadily(ctx, what+" "+id, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := coordv1.NewClusterServiceClient(conn).RemoveMember(ctx, &coordv1.RemoveMemberRequest{NodeId: id})
		return err
	})
	if err != nil {
		return changing(err)
	}
	return a.text("removed " + id + "\n")
}

func (a *app) replaceMember(ctx context.Context, old, address string, wait time.Duration) error {
	const what = "member replace"
	id, at, err := a.findMember(ctx, what, old)
	if f, ok := errors.AsType[*failure](err); ok && f.code == exitNotFound {
		// A first try may have come so far; the rest of it is to add.
		return a.addMember(ctx, address, wait)
	}
	if err != nil {
		return err
	}
	if at == address {
		if err := a.vacated(ctx, what, id, address); err != nil {
			return err
		}
		if err := a.removeMember(ctx, what, id); err != nil {
			return err
		}
		return a.addMember(ctx, address, wait)
	}
	if err := a.addMember(ctx, address, wait); err != nil {
		return err
	}
	return a.removeMember(ctx, what, id)
}

// vacated says why another node cannot take a member's place at its own address, if it cannot:
// the member would be removed, and nobody be there to be added. Only a node that waits there has
// the cluster refuse to add it because the address is the member's.
func (a *app) vacated(ctx context.Context, what, id, address string) error {
	what += " " + show(address)
	waits := false
	err := a.steadily(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := coordv1.NewClusterServiceClient(conn).AddMember(ctx, &coordv1.AddMemberRequest{PeerAddress: address})
		if waits = refusalIn(err).GetMetadata()[metaMember] == id; waits {
			return nil
		}
		return err
	})
	if err != nil || waits {
		return err
	}
	return &failure{
		what: what, why: "node " + id + " is there itself", code: exitRefused,
		next: "stop it, empty its data directory and start it again with --join; or start the new node at another address",
	}
}

func (a *app) transferLeader(ctx context.Context, to []string) error {
	what := "member transfer"
	req := &coordv1.TransferLeaderRequest{}
	if len(to) > 0 {
		id, _, err := a.findMember(ctx, what, to[0])
		if err != nil {
			return err
		}
		req.NodeId = id
		what += " " + show(to[0])
	}
	var leader string
	err := a.steadily(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		r, err := coordv1.NewClusterServiceClient(conn).TransferLeader(ctx, req)
		leader = r.GetLeaderId()
		return err
	})
	if err != nil {
		return changing(err)
	}
	return a.text(leader + " leads\n")
}

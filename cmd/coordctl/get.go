package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

// pageSize is how many objects are asked for at once. That much is kept here, however
// many there are.
const pageSize = 500

func (a *app) getCommand() *cobra.Command {
	var watch, graph bool
	cmd := &cobra.Command{
		Use:   "get KINDS [NAME|PREFIX*] [-w] [-o table|wide|json]\n  coordctl get --graph [KIND NAME] [-o table|dot|json]",
		Short: "List objects, sessions or members, or show who waits for whom",
		Long: `List what there is of some kinds, in the order of kind and name: locks, semaphores, elections,
channels, waitgroups, onces, conds and maps that are held, waited for or stored; sessions;
members. KINDS is one of these words, several objects' with commas between, or all for
all objects; lock, sem, chan, wg, session, node and so on are understood too.

Rows and JSON come as the pages of a long list do, which are not all of one instant.
Long names are cut in a table, not with -o wide or json.

With -w what happens to objects follows, a line each; with json one object a line, the
present ones first, of type "present". It goes on over a change of leader, without a
gap; if changes were missed that is said, and the present objects are shown again. That
somebody begins to wait, or gives up, is no change, nor is what is sent, received or
counted. It ends when it is interrupted.

With --graph show who waits for whom: of each wait who holds what it wants, who stands before it,
and until which other wait a hold is kept; of one object, with all that stands behind its
waits, or of everything. -o dot is for graphviz.

Exit codes: 0 ok, also if the list is empty; 3 if there is nothing of that NAME.`,
		Example: `  coordctl get locks
  coordctl get locks 'orders/*' -o wide
  coordctl get sem,elections -o json
  coordctl get all -w
  coordctl get sessions
  coordctl get --graph lock deploy
  coordctl get --graph -o dot | dot -Tsvg > waits.svg`,
		Annotations:           map[string]string{hasWide: "", hasDot: ""},
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if graph {
				return upToTwo(0)(cmd, args)
			}
			return upToTwo(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case graph:
				return a.graphCommand(cmd, args, watch)
			case a.output == asDot:
				return misuse(cmd, "-o dot is for --graph")
			}
			of, err := topicsOf(args[0])
			if err != nil {
				return misuse(cmd, err.Error())
			}
			if len(args) == 2 && args[1] == "" {
				return misuse(cmd, "NAME is empty")
			}
			g := &getting{app: a, of: of, names: patternOf(args[1:]), what: strings.Join(append([]string{"get", args[0]}, shown(args[1:])...), " ")}
			if watch && !of[0].object() {
				return misuse(cmd, "-w is for objects, not for "+of[0].many)
			}
			return g.run(cmd.Context(), watch)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on with what changes")
	cmd.Flags().BoolVar(&graph, "graph", false, "show who waits for whom")
	return cmd
}

// upToTwo refuses fewer arguments than least, and more than two.
func upToTwo(least int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return misuse(cmd, "takes "+plural(least, "argument")+" at least")
		case len(args) > 2:
			return misuse(cmd, "takes 2 arguments at most, not "+strconv.Itoa(len(args)))
		}
		return nil
	}
}

// topicsOf reads KINDS. Sessions and members stand alone: their rows are others.
func topicsOf(list string) ([]topic, error) {
	if list == "all" {
		return objectTopics(), nil
	}
	var of []topic
	for word := range strings.SplitSeq(list, ",") {
		t, err := topicOf(word)
		if err != nil {
			return nil, err
		}
		if len(of) > 0 && (!t.object() || !of[0].object()) {
			return nil, errors.New("sessions and members are asked for alone")
		}
		if !slices.ContainsFunc(of, func(o topic) bool { return o.one == t.one }) {
			of = append(of, t)
		}
	}
	return of, nil
}

func shown(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = show(arg)
	}
	return out
}

// A getting is one run of get.
type getting struct {
	*app
	of    []topic
	names pattern
	what  string
	nodes *nodes
}

func (g *getting) run(ctx context.Context, watch bool) (err error) {
	switch {
	case g.of[0].many == "sessions":
		return g.listSessions(ctx, g.what, g.names)
	case g.of[0].many == "members":
		return g.listMembers(ctx, g.what, g.names)
	}
	if g.nodes, err = g.app.nodes(); err != nil {
		return err
	}
	defer g.nodes.close()
	if watch {
		return g.interruptible(ctx, g.watch)
	}
	if g.output == asJSON {
		return g.stream(ctx)
	}
	t := g.objectTable(g.of)
	t.head()
	n := 0
	if err := g.list(ctx, func(page []*coordv1.ObjectSummary, _ uint64) error {
		n += len(page)
		return t.page(page)
	}); err != nil {
		return err
	}
	if n == 0 && !g.names.prefix {
		return g.missing(ctx)
	}
	return t.flush()
}

// page adds some rows, and writes those that there are once they are many.
func (t *objectTable) page(objects []*coordv1.ObjectSummary) error {
	for _, o := range objects {
		t.add(o)
	}
	if len(t.rows) < pageSize {
		return nil
	}
	return t.flush()
}

// list calls each with page after page, of all the kinds in turn.
func (g *getting) list(ctx context.Context, each func(page []*coordv1.ObjectSummary, index uint64) error) error {
	for _, t := range g.of {
		req := &coordv1.ListObjectsRequest{Kind: t.kind, Prefix: g.names.text, PageSize: pageSize}
		if !g.names.prefix {
			req.PageSize = 1 // of all names that begin with it, it is the first itself
		}
		for {
			page, err := g.nodes.objects(ctx, g.what, req)
			if err != nil {
				return err
			}
			objects := page.GetObjects()
			if !g.names.prefix && len(objects) > 0 && objects[0].GetName() != g.names.text {
				objects = nil
			}
			if err := each(objects, page.GetIndex()); err != nil {
				return err
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" || !g.names.prefix {
				break
			}
		}
	}
	return nil
}

// objects asks for one page, which has the whole of --timeout.
func (n *nodes) objects(ctx context.Context, what string, req *coordv1.ListObjectsRequest) (page *coordv1.ListObjectsResponse, err error) {
	err = n.ask(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
		page, err = coordv1.NewInspectServiceClient(conn).ListObjects(ctx, req)
		return err
	})
	return page, err
}

// stream writes a JSON document as its objects come. If it fails on the way the document
// is cut short, and the exit code says so.
func (g *getting) stream(ctx context.Context) error {
	n, index := 0, uint64(0)
	err := g.list(ctx, func(page []*coordv1.ObjectSummary, at uint64) error {
		index = at
		var b bytes.Buffer
		for _, o := range page {
			b.WriteString([]string{"{\n  \"objects\": [\n    ", ",\n    "}[min(n, 1)])
			n++
			data, err := json.MarshalIndent(objectViewOf(o), "    ", "  ")
			if err != nil {
				return unwritten(err)
			}
			b.Write(data)
		}
		return g.text(b.String())
	})
	switch {
	case err != nil:
		return err
	case n == 0 && !g.names.prefix:
		return g.missing(ctx)
	case n == 0:
		return g.text("{\n  \"objects\": [],\n  \"index\": \"" + strconv.FormatUint(index, 10) + "\"\n}\n")
	}
	return g.text("\n  ],\n  \"index\": \"" + strconv.FormatUint(index, 10) + "\"\n}\n")
}

// listMembers shows the nodes of the configuration, as one of them knows it.
func (a *app) listMembers(ctx context.Context, what string, names pattern) error {
	var s *coordv1.StatusResponse
	err := a.anyNode(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
		s, err = coordv1.NewClusterServiceClient(conn).Status(ctx, &coordv1.StatusRequest{})
		return err
	})
	if err != nil {
		return err
	}
	views := make([]memberView, 0, len(s.GetMembers()))
	for _, m := range s.GetMembers() {
		if names.matches(m.GetId()) {
			views = append(views, memberView{m.GetId(), m.GetPeerAddress(), m.GetClientAddress(), m.GetVoter(), m.GetLeader()})
		}
	}
	if len(views) == 0 && !names.prefix {
		return &failure{what: what, why: "there is no such member", next: "see coordctl get members", code: exitNotFound}
	}
	return a.render(struct {
		Members []memberView `json:"members"`
	}{views}, func(t *table) { memberRows(t, views) })
}

func memberRows(t *table, members []memberView) {
	t.row("MEMBER", "PEER", "VOTER", "LEADER")
	for _, m := range members {
		t.row(show(m.ID), m.Address, yesNo(m.Voter), yesNo(m.Leader))
	}
}

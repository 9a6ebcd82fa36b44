package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

const (
	// graphEdges is how much of the graph is asked for.
	graphEdges = 4_096

	asDot  = "dot"
	hasDot = "has dot" // marks the commands that have -o dot
)

// graphCommand is get --graph.
func (a *app) graphCommand(cmd *cobra.Command, args []string, watch bool) error {
	g := &graphing{app: a, req: &coordv1.GetWaitGraphRequest{Limit: graphEdges}, what: strings.Join(append([]string{"get --graph"}, shown(args)...), " ")}
	switch {
	case watch:
		return misuse(cmd, "either --graph or -w")
	case a.output == asWide:
		return misuse(cmd, "-o wide is not for --graph; there are table, dot and json")
	case len(args) == 1:
		return misuse(cmd, "--graph takes KIND and NAME, or neither")
	case len(args) == 2:
		of, err := objectTopic(args[0])
		if err != nil {
			return misuse(cmd, err.Error())
		}
		if args[1] == "" {
			return misuse(cmd, "NAME is empty")
		}
		g.req.Kind, g.req.Name = of.kind, args[1]
	}
	nodes, err := a.nodes()
	if err != nil {
		return err
	}
	defer nodes.close()
	r, err := nodes.waitGraph(cmd.Context(), g.what, g.req)
	if err != nil {
		return err
	}
	return g.draw(r)
}

// waitGraph asks for a graph.
func (n *nodes) waitGraph(ctx context.Context, what string, req *coordv1.GetWaitGraphRequest) (r *coordv1.GetWaitGraphResponse, err error) {
	err = n.ask(ctx, what, func(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
		r, err = coordv1.NewInspectServiceClient(conn).GetWaitGraph(ctx, req)
		return err
	})
	return r, err
}

// A graphing is one run of get --graph.
type graphing struct {
	*app
	req  *coordv1.GetWaitGraphRequest
	what string
}

// A callID names a call as edges do.
type callID struct{ session, seq uint64 }

func (c callID) String() string {
	return formatSessionID(c.session) + "." + strconv.FormatUint(c.seq, 10)
}

func idOf(c *coordv1.WaitGraphCall) callID { return callID{c.GetParty().GetSessionId(), c.GetSeq()} }

func fromOf(e *coordv1.WaitGraphEdge) callID { return callID{e.GetFromSessionId(), e.GetFromSeq()} }

func toOf(e *coordv1.WaitGraphEdge) callID { return callID{e.GetToSessionId(), e.GetToSeq()} }

// A waitGraph is an answer, to be looked up.
type waitGraph struct {
	calls map[callID]*coordv1.WaitGraphCall
	from  map[callID][]*coordv1.WaitGraphEdge
}

func waitGraphOf(r *coordv1.GetWaitGraphResponse) waitGraph {
	g := waitGraph{map[callID]*coordv1.WaitGraphCall{}, map[callID][]*coordv1.WaitGraphEdge{}}
	for _, c := range r.GetCalls() {
		g.calls[idOf(c)] = c
	}
	for _, e := range r.GetEdges() {
		g.from[fromOf(e)] = append(g.from[fromOf(e)], e)
	}
	return g
}

// draw writes the graph.
func (g *graphing) draw(r *coordv1.GetWaitGraphResponse) error {
	switch g.output {
	case asJSON:
		return g.render(graphViewOf(r), nil)
	case asDot:
		return g.text(dot(r))
	}
	var b strings.Builder
	of := waitGraphOf(r)
	for _, c := range r.GetCalls() {
		if c.GetWaits() {
			g.wait(&b, of, c)
		}
	}
	if len(r.GetCalls()) == 0 {
		b.WriteString("nobody waits\n")
	}
	for _, note := range graphNotes(r) {
		b.WriteString(note + "\n")
	}
	return g.text(b.String())
}

// wait writes what is in the way of one wait.
func (g *graphing) wait(b *strings.Builder, of waitGraph, c *coordv1.WaitGraphCall) {
	fmt.Fprintf(b, "%s waits %s for %s\n", g.clip(who(c.GetParty())), short(c.GetParty().GetFor().AsDuration()), refsWords(c.GetObjects()))
	for _, e := range of.from[idOf(c)] {
		to := of.calls[toOf(e)]
		if e.GetType() == coordv1.WaitGraphEdgeType_WAIT_GRAPH_EDGE_TYPE_AHEAD {
			fmt.Fprintf(b, "  behind %s\n", g.clip(who(to.GetParty())))
			continue
		}
		fmt.Fprintf(b, "  %s is held %s by %s\n", objectWords(e.GetOn()), short(to.GetParty().GetFor().AsDuration()), g.clip(who(to.GetParty())))
		for _, kept := range of.from[idOf(to)] {
			keeper := of.calls[toOf(kept)]
			fmt.Fprintf(b, "    until %s has %s\n", g.clip(who(keeper.GetParty())), refsWords(keeper.GetObjects()))
		}
	}
}

// graphNotes are what a graph does not show.
func graphNotes(r *coordv1.GetWaitGraphResponse) (notes []string) {
	if r.GetCut() {
		notes = append(notes, "there is more than can be shown; ask for one object")
	}
	if n := r.GetUnsearched(); n > 0 {
		notes = append(notes, fmt.Sprintf("%s may be deadlocked: there was too much to search when %s parked", plural(int(n), "wait"), theyWere(int(n))))
	}
	return notes
}

func theyWere(n int) string {
	if n == 1 {
		return "it was"
	}
	return "they were"
}

// objectWords names an object, and the line of a program if that is known.
func objectWords(r *coordv1.Ref) string {
	s := kindWord(r.GetKind()) + " " + show(r.GetName())
	if at := r.GetSite(); at != "" && !ownSite(at) {
		s += " (" + clean(at) + ")"
	}
	return s
}

// ownSite reports whether a line is one of coordctl's own, which says nothing to anybody.
func ownSite(at string) bool { return strings.Contains(at, "cmd/coordctl/") }

func refsWords(refs []*coordv1.Ref) string {
	words := make([]string, len(refs))
	for i, r := range refs {
		words[i] = objectWords(r)
	}
	return strings.Join(words, ", ")
}

// dot is the graph in the language of graphviz: what waits is a box.
func dot(r *coordv1.GetWaitGraphResponse) string {
	var b strings.Builder
	b.WriteString("digraph waits {\n\trankdir=LR;\n")
	for _, c := range r.GetCalls() {
		verb, shape := "holds", "ellipse"
		if c.GetWaits() {
			verb, shape = "waits for", "box"
		}
		label := who(c.GetParty()) + "\n" + verb + " " + refsWords(c.GetObjects()) + "\n" + short(c.GetParty().GetFor().AsDuration())
		fmt.Fprintf(&b, "\t%q [shape=%s, label=%s];\n", idOf(c), shape, quoteDot(label))
	}
	for _, e := range r.GetEdges() {
		label := map[coordv1.WaitGraphEdgeType]string{
			coordv1.WaitGraphEdgeType_WAIT_GRAPH_EDGE_TYPE_HELD:  objectWords(e.GetOn()),
			coordv1.WaitGraphEdgeType_WAIT_GRAPH_EDGE_TYPE_AHEAD: "behind",
			coordv1.WaitGraphEdgeType_WAIT_GRAPH_EDGE_TYPE_KEPT:  "kept until",
		}[e.GetType()]
		fmt.Fprintf(&b, "\t%q -> %q [label=%s];\n", fromOf(e), toOf(e), quoteDot(label))
	}
	for i, note := range graphNotes(r) {
		fmt.Fprintf(&b, "\tnote%d [shape=note, label=%s];\n", i, quoteDot(note))
	}
	b.WriteString("}\n")
	return b.String()
}

// quoteDot quotes a string as graphviz does: only quotes and backslashes are special in it, and
// a line's end is written as one.
func quoteDot(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

type graphView struct {
	Index      string          `json:"index"`
	Calls      []graphCallView `json:"calls"`
	Edges      []graphEdgeView `json:"edges"`
	Cut        bool            `json:"cut"`
	Unsearched string          `json:"unsearched"`
}

type graphCallView struct {
	ID      string    `json:"id"`
	Waits   bool      `json:"waits"`
	Session string    `json:"session_id"`
	Who     string    `json:"who"`
	Note    string    `json:"note,omitempty"`
	For     string    `json:"for"`
	Objects []refView `json:"objects"`
}

type graphEdgeView struct {
	Type string  `json:"type"` // held, ahead or kept
	From string  `json:"from"`
	To   string  `json:"to"`
	On   refView `json:"on"`
}

type refView struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Site string `json:"site,omitempty"`
}

func refViewOf(r *coordv1.Ref) refView {
	return refView{kindWord(r.GetKind()), r.GetName(), r.GetSite()}
}

func graphViewOf(r *coordv1.GetWaitGraphResponse) graphView {
	v := graphView{
		Index: strconv.FormatUint(r.GetIndex(), 10), Cut: r.GetCut(), Unsearched: strconv.FormatUint(r.GetUnsearched(), 10),
		Calls: []graphCallView{}, Edges: []graphEdgeView{},
	}
	for _, c := range r.GetCalls() {
		call := graphCallView{
			ID: idOf(c).String(), Waits: c.GetWaits(), Session: formatSessionID(c.GetParty().GetSessionId()),
			Who: who(c.GetParty()), Note: c.GetParty().GetNote(), For: millis(c.GetParty().GetFor().AsDuration()),
			Objects: []refView{},
		}
		for _, o := range c.GetObjects() {
			call.Objects = append(call.Objects, refViewOf(o))
		}
		v.Calls = append(v.Calls, call)
	}
	for _, e := range r.GetEdges() {
		v.Edges = append(v.Edges, graphEdgeView{
			enum(e.GetType().String(), "WAIT_GRAPH_EDGE_TYPE_"), fromOf(e).String(), toOf(e).String(), refViewOf(e.GetOn()),
		})
	}
	return v
}

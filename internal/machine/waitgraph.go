package machine

import "coordd.dev/internal/park"

// A WaitGraph is who waits for whom: what Blocked and Keepers say, gone through breadth first.
type WaitGraph struct {
	Index uint64
	Calls []GraphCall // each once, as they are come to
	Edges []GraphEdge
	Cut   bool // there is more
}

// A GraphCall waits or holds.
type GraphCall struct {
	Party
	ID      park.ID
	Objects []Ref // up to maxRefs
	Waits   bool
}

// A GraphEdge leads from what cannot go on to what must go on first.
type GraphEdge struct {
	From, To park.ID
	On       park.Object
	Why      EdgeWhy
}

// An EdgeWhy says what an edge is. The values are the wire's.
type EdgeWhy uint8

const (
	EdgeHeld  EdgeWhy = iota + 1 // to who holds what a wait wants
	EdgeAhead                    // to who stands next before a wait
	EdgeKept                     // from a hold to a wait until whose end it is kept
)

// A survey makes a WaitGraph.
type survey struct {
	m     *Machine
	most  int // edges
	graph WaitGraph
	found map[park.ID]bool // calls; used to look up only
	waits []park.ID        // found, and yet to be gone on from
	told  int              // bytes of what they say of themselves
}

// WaitGraph returns the waits for an object and all that they depend on; of no object, all
// waits. It has at most so many edges.
func (m *Machine) WaitGraph(on park.Object, most int) WaitGraph {
	s := &survey{m: m, most: most, graph: WaitGraph{Index: m.index}, found: make(map[park.ID]bool)}
	waits := m.lot.Queue(on)
	if on.Name == "" {
		waits = m.lot.All()
	}
	for id := range waits {
		if s.graph.Cut {
			break
		}
		s.come(id, true)
		for len(s.waits) > 0 && !s.graph.Cut {
			next := s.waits[0]
			s.waits = s.waits[1:]
			s.goOn(next)
		}
	}
	return s.graph
}

// come adds a call that was not found before. With nothing in its way a wait has no edge, so
// that calls are bounded besides.
func (s *survey) come(id park.ID, waits bool) {
	if s.found[id] {
		return
	}
	if s.told > maxTold || len(s.graph.Calls) > s.most {
		s.graph.Cut = true
		return
	}
	s.found[id] = true
	c := GraphCall{ID: id, Waits: waits}
	var arms []park.Arm
	site := ""
	if waits {
		w, _ := s.m.lot.Get(id)
		c.Party, arms = s.m.party(id, w.Terms, w.Since), w.Arms
		if l := w.Terms.Get().Lineage; l != nil {
			site = l.Site
		}
		s.waits = append(s.waits, id)
	} else {
		h, _ := s.m.book.Hold(id)
		c.Party, arms = s.m.party(id, h.Terms, h.Since), h.Arms
	}
	for _, a := range arms[:min(len(arms), maxRefs)] {
		c.Objects = append(c.Objects, Ref{a.On, site})
		s.told += len(a.On.Name) + len(site)
	}
	s.told += c.size()
	s.graph.Calls = append(s.graph.Calls, c)
}

// goOn adds what is in the way of a wait, and what keeps it there.
func (s *survey) goOn(wait park.ID) {
	edges, more := s.m.Blocked(wait)
	s.graph.Cut = s.graph.Cut || more
	for _, e := range edges {
		if !e.Held {
			s.edge(GraphEdge{From: wait, To: e.To, On: e.On, Why: EdgeAhead}, true)
			continue
		}
		known := s.found[e.To]
		s.edge(GraphEdge{From: wait, To: e.To, On: e.On, Why: EdgeHeld}, false)
		if known || !e.Kept {
			continue
		}
		keepers, more := s.m.Keepers(e.To)
		s.graph.Cut = s.graph.Cut || more
		for _, keeper := range keepers {
			s.edge(GraphEdge{From: e.To, To: keeper, On: e.On, Why: EdgeKept}, true)
		}
	}
}

func (s *survey) edge(e GraphEdge, toWait bool) {
	if len(s.graph.Edges) >= s.most {
		s.graph.Cut = true
		return
	}
	if s.come(e.To, toWait); s.found[e.To] {
		s.graph.Edges = append(s.graph.Edges, e)
		s.told += len(e.On.Name)
	}
}

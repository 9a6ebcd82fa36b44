package server

import (
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/rights"
)

// hidden says that a caller may neither read nor acquire an object: what it would be told of it
// goes beyond what it could find out, or needs to know to take part.
func (s *Server) hidden(a *asker, on park.Object) bool {
	if s.cfg.Rights == nil || a == nil || on == (park.Object{}) {
		return false
	}
	resource := rights.Resource{Kind: rights.Kind(on.Kind), Name: on.Name}
	for _, verb := range []rights.Verb{rights.Read, rights.Acquire} {
		if ok, _ := s.cfg.Rights.Decide(a.id.Principal, verb, resource); ok {
			return false
		}
	}
	return true
}

// veil returns a cycle as its caller may see it: objects that are hidden from it have no kind, no
// name and no place in a program, and who waits for one no note. The cycle itself stays, with all
// that are in it: they are in the caller's way, and it must know whom to ask.
func (s *Server) veil(a *asker, cycle []machine.CycleWait) []machine.CycleWait {
	if s.cfg.Rights == nil || len(cycle) == 0 {
		return cycle
	}
	cycle = slices.Clone(cycle) // the machine's
	for i := range cycle {
		w := &cycle[i]
		if s.hidden(a, w.Wants.On) {
			w.Wants, w.Note = machine.Ref{}, ""
		}
		w.Holds = slices.Clone(w.Holds)
		for k := range w.Holds {
			if s.hidden(a, w.Holds[k].On) {
				w.Holds[k] = machine.Ref{}
			}
		}
	}
	return cycle
}

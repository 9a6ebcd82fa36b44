package rights

import (
	"slices"
	"strings"
)

// A rule is one line of a principal.
type rule struct {
	kind   Kind
	name   string // without its star
	prefix bool
	verbs  set
	deny   bool
}

// rules are those of one principal, made to be looked up. They never change.
type rules struct {
	of [kinds + 1]scope // by kind
}

// A scope is the rules of one kind, those for names apart from those for prefixes. lengths
// are those of the prefixes, the longest first: a decision costs as many lookups as there
// are different ones, however many rules there are.
type scope struct {
	exact, prefixes map[string]grant
	lengths         []int
}

// A grant is what the rules of one name, or one prefix, give and take away.
type grant struct{ allow, deny set }

func compile(list []rule) *rules {
	out := &rules{}
	for _, r := range list {
		s := &out.of[r.kind]
		if s.exact == nil {
			s.exact, s.prefixes = make(map[string]grant), make(map[string]grant)
		}
		names := s.exact
		if r.prefix {
			names = s.prefixes
			if !slices.Contains(s.lengths, len(r.name)) {
				s.lengths = append(s.lengths, len(r.name))
			}
		}
		g := names[r.name]
		if r.deny {
			g.deny |= r.verbs
		} else {
			g.allow |= r.verbs.whole()
		}
		names[r.name] = g
	}
	for k := range out.of {
		slices.Sort(out.of[k].lengths)
		slices.Reverse(out.of[k].lengths)
	}
	return out
}

// A match is what was found so far of the rules for one name. rank is how exact the rule is
// that allows: see rankOf.
type match struct {
	grant
	rank int
}

// The ranks of rules, from less to more exact: a prefix by its length, any kind before one.
func rankOf(length int, exact bool, k Kind) int {
	rank := 2*length + 1
	if exact {
		rank = 1 << 30
	}
	if k != AnyKind {
		rank++
	}
	return rank
}

func (m *match) take(g grant, rank int) {
	m.deny |= g.deny
	if g.allow != 0 && rank > m.rank {
		m.allow, m.rank = g.allow, rank
	}
}

// look finds what the rules of a kind say of a name.
func (s *scope) look(m *match, k Kind, name string) {
	if len(s.exact) > 0 {
		if g, ok := s.exact[name]; ok {
			m.take(g, rankOf(len(name), true, k))
		}
	}
	for _, n := range s.lengths {
		if n > len(name) {
			continue
		}
		if g, ok := s.prefixes[name[:n]]; ok {
			m.take(g, rankOf(n, false, k))
		}
	}
}

// one says what becomes of a verb upon one name.
func (r *rules) one(v Verb, k Kind, name string) (allowed, denied bool) {
	var m match
	r.of[k].look(&m, k, name)
	r.of[AnyKind].look(&m, AnyKind, name)
	denied = m.deny.has(v)
	return m.allow.has(v) && !denied, denied
}

// every says what becomes of a verb upon every name of a kind that begins with prefix, of
// AnyKind those of all objects. It is asked for seldom, and looks at all rules. Where it errs it
// refuses: a narrow rule counts although one for its kind is before it.
func (r *rules) every(v Verb, k Kind, prefix string) (allowed, denied bool) {
	if k == AnyKind {
		allowed = true
		for each := Lock; each <= Channel; each++ {
			a, d := r.every(v, each, prefix)
			allowed, denied = allowed && a, denied || d
		}
		return allowed, denied
	}
	var m match // what the rules say that match the whole of it
	narrow := false
	for _, of := range []Kind{k, AnyKind} {
		s := &r.of[of]
		for name, g := range s.prefixes {
			switch {
			case strings.HasPrefix(prefix, name):
				m.take(g, rankOf(len(name), false, of))
			case strings.HasPrefix(name, prefix):
				narrow = narrow || g.takes(v)
				m.deny |= g.deny
			}
		}
		for name, g := range s.exact {
			if strings.HasPrefix(name, prefix) {
				narrow = narrow || g.takes(v)
				m.deny |= g.deny
			}
		}
	}
	denied = m.deny.has(v)
	return m.allow.has(v) && !denied && !narrow, denied
}

// takes says that a grant for less takes a verb away from what a wider one gives.
func (g grant) takes(v Verb) bool { return g.deny.has(v) || g.allow != 0 && !g.allow.has(v) }

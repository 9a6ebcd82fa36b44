package rights

import "fmt"

// A Verb is what is done to a resource.
type Verb uint8

// The verbs. Admin has the others in it.
const (
	Read    Verb = iota + 1 // see it: describe, list, watch, load
	Acquire                 // take part in it: lock, campaign, send, receive, store
	Admin                   // take it from others, or change it for all
)

// The number of verbs, and of kinds.
const (
	verbs = Admin
	kinds = AnyKind
)

func (v Verb) String() string {
	switch v {
	case Read:
		return "read"
	case Acquire:
		return "acquire"
	case Admin:
		return "admin"
	default:
		return fmt.Sprintf("verb %d", uint8(v))
	}
}

// A Kind is a kind of resource. Those of objects have the wire's values.
type Kind uint8

// The kinds.
const (
	Lock Kind = iota + 1
	Semaphore
	Election
	WaitGroup
	Once
	Cond
	Map
	Channel
	Session // by its id
	Cluster // its members and backups; its name is ""
	AnyKind // of a rule: all of the above; of a question: all objects
)

func (k Kind) String() string {
	switch k {
	case Lock:
		return "lock"
	case Semaphore:
		return "semaphore"
	case Election:
		return "election"
	case WaitGroup:
		return "waitgroup"
	case Once:
		return "once"
	case Cond:
		return "cond"
	case Map:
		return "map"
	case Channel:
		return "channel"
	case Session:
		return "session"
	case Cluster:
		return "cluster"
	case AnyKind:
		return "*"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

func parseKind(s string) (Kind, bool) {
	for k := Lock; k <= kinds; k++ {
		if k.String() == s {
			return k, true
		}
	}
	return 0, false
}

func parseVerb(s string) (Verb, bool) {
	for v := Read; v <= verbs; v++ {
		if v.String() == s {
			return v, true
		}
	}
	return 0, false
}

// A set is a set of verbs.
type set uint8

func (s set) has(v Verb) bool { return s&(1<<v) != 0 }
func (s *set) add(v Verb)     { *s |= 1 << v }

// whole is the set with what admin has in it.
func (s set) whole() set {
	if s.has(Admin) {
		s.add(Read)
		s.add(Acquire)
	}
	return s
}

// A Resource is what a call is about: one name of one kind, or with Prefix every name that
// begins with Name.
type Resource struct {
	Kind   Kind
	Name   string
	Prefix bool
}

// All is every resource of a kind.
func All(k Kind) Resource { return Resource{Kind: k, Prefix: true} }

// String is kind and name, as a rule has them.
func (r Resource) String() string {
	switch {
	case r.Prefix:
		return r.Kind.String() + "/" + r.Name + "*"
	case r.Name == "":
		return r.Kind.String()
	default:
		return r.Kind.String() + "/" + r.Name
	}
}

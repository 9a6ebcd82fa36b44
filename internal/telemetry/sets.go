package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The attributes of coord.lock.*. Their values are those below, and no others.
const (
	keyKind    = attribute.Key("coord.kind")
	keyMode    = attribute.Key("coord.mode")
	keyOutcome = attribute.Key("coord.outcome")
	keyEnd     = attribute.Key("coord.end")
)

// A Kind is a kind of object.
type Kind uint8

// A mutex and a read-write mutex are one kind. What is held of a once is its run, of a channel
// an element until it is acknowledged; of the others without a hold only waits are counted, and
// those that came to a hold.
const (
	Lock Kind = iota + 1
	Semaphore
	Election
	WaitGroup
	Once
	Cond
	Map
	Channel
	kinds
)

func (k Kind) String() string {
	return word(uint8(k), "lock", "semaphore", "election", "waitgroup", "once", "cond", "map", "channel")
}

// A Mode says how an object is held.
type Mode uint8

// A semaphore is always held Shared.
const (
	Exclusive Mode = iota + 1
	Shared
	modes
)

func (m Mode) String() string {
	return word(uint8(m), "exclusive", "shared")
}

// An Outcome says how a wait ended.
type Outcome uint8

// How waits end.
const (
	Granted Outcome = iota + 1
	outcomes
)

func (o Outcome) String() string {
	return word(uint8(o), "granted")
}

// An End says how a hold ended.
type End uint8

// How holds end.
const (
	Released     End = iota + 1
	Expired          // the lease of its session ran out
	Replaced         // its client lost the session, and opened another
	Revoked          // by an operator
	Left             // its client left without a release
	Transferred      // its leader handed over to another candidate
	DelayOver        // of its lock-delay, which began with another end; not counted
	Acknowledged     // an element
	Completed        // the run of a once
	ends
)

func (e End) String() string {
	return word(uint8(e), "released", "expired", "replaced", "revoked", "left", "transferred", "delay_over", "acknowledged", "completed")
}

// word is the i-th of words, from 1. What is none of them gets a word of its own: an event
// that this version does not know is still counted, and its series are still few.
func word(i uint8, words ...string) string {
	if i == 0 || int(i) > len(words) {
		return "other"
	}
	return words[i-1]
}

// sets are all attribute sets there can be, made once: to make one takes longer than to
// record with it. An index of 0 is for what is not known.
type sets struct {
	waits [kinds][modes][outcomes][]metric.RecordOption
	holds [kinds][modes][ends][]metric.RecordOption
}

func newSets() (s sets) {
	for k := range kinds {
		for m := range modes {
			for o := range outcomes {
				s.waits[k][m][o] = set(k, m, keyOutcome.String(o.String()))
			}
			for e := range ends {
				s.holds[k][m][e] = set(k, m, keyEnd.String(e.String()))
			}
		}
	}
	return s
}

func set(k Kind, m Mode, how attribute.KeyValue) []metric.RecordOption {
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(
		keyKind.String(k.String()), keyMode.String(m.String()), how,
	))}
}

func (s *sets) waited(k Kind, m Mode, o Outcome) []metric.RecordOption {
	return s.waits[known(k, kinds)][known(m, modes)][known(o, outcomes)]
}

func (s *sets) held(k Kind, m Mode, e End) []metric.RecordOption {
	return s.holds[known(k, kinds)][known(m, modes)][known(e, ends)]
}

// known is v, or 0 if it is not below n.
func known[T ~uint8](v, n T) T {
	if v < n {
		return v
	}
	return 0
}

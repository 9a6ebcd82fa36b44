package main

import (
	"fmt"

	"coordd.dev/client"
)

// service is whose rollout it is; a map has those of many.
const service = "web"

// A rollout is how far a version has come. What is decided about it is decided here, from it
// and from counts, and nothing else.
type rollout struct {
	Version string       `json:"version"`
	Stage   int          `json:"stage"` // index of stages
	State   state        `json:"state,omitempty"`
	Why     string       `json:"why,omitempty"` // it is so
	Term    client.Token `json:"term"`          // of the operator whose it is
}

type state string

const (
	rising    state = ""
	complete  state = "complete"
	takenBack state = "taken back"
)

// stages are percentages of the users.
func stages() []int { return []int{5, 25, 50, 100} }

const (
	enough  = 100 // requests in a stage before the next
	tooMany = 5   // percent of errors
	few     = 20  // requests, before which nothing is said of errors
)

func (r rollout) percent() int {
	switch {
	case r.Version == "" || r.State == takenBack:
		return 0
	case r.State == complete:
		return 100
	}
	return stages()[r.Stage]
}

// A count is what a replica has seen of a stage of a version.
type count struct {
	Version string `json:"version"`
	Stage   int    `json:"stage"`
	Served  int    `json:"served"`
	Failed  int    `json:"failed"`
}

// of reports whether a count is about the stage that r is in.
func (n count) of(r rollout) bool { return n.Version == r.Version && n.Stage == r.Stage }

// judged is r after what the replicas say.
func (r rollout) judged(counts []count) rollout {
	served, failed := 0, 0
	for _, n := range counts {
		if n.of(r) {
			served, failed = served+n.Served, failed+n.Failed
		}
	}
	bad := served >= few && failed*100 > served*tooMany
	if r.State != rising || !bad && served < enough {
		return r
	}
	r.Why = fmt.Sprintf("%d of %d failed", failed, served)
	switch {
	case bad:
		r.State = takenBack
	case r.Stage == len(stages())-1:
		r.State = complete
	default:
		r.Stage++
	}
	return r
}

func (r rollout) String() string {
	is := fmt.Sprintf("%s: %d%%", r.Version, r.percent())
	switch {
	case r.State != rising:
		is = fmt.Sprintf("%s: %s", r.Version, r.State)
	case r.Why == "":
		return is
	}
	return is + ", since " + r.Why
}

package main

import (
	"fmt"
	"strings"

	"coordd.dev/internal/lessee"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What a trace and a failure say of things.

func (o *op) String() string {
	state := []string{"waits", "holds", "lost", "over"}[o.state]
	if o.ended {
		state += ", ended"
	}
	return fmt.Sprintf("call %d (%v; %s)", o.call, o.body, state)
}

func (r *request) String() string {
	switch r.do {
	case machine.DoWait:
		return waitText(&r.wait)
	case machine.DoRelease:
		return fmt.Sprintf("release %d", r.n)
	case machine.DoProclaim:
		return "proclaim " + r.value
	case machine.DoTransfer:
		return fmt.Sprintf("hand over to session %d", r.heir)
	case machine.DoNoop:
		return "nothing"
	case machine.DoResize:
		return fmt.Sprintf("resize %s to %d", r.on.Name, r.n)
	default:
		return "describe " + r.on.Name
	}
}

func waitText(w *machine.Wait) string {
	var arms []string
	for _, a := range w.Arms {
		s := a.On.Name
		switch {
		case a.Shared:
			s += " shared"
		case a.On.Kind == park.KindSemaphore:
			s += fmt.Sprintf(" %d of %d", a.N, a.Limit)
		}
		arms = append(arms, s)
	}
	s := [...]string{park.Any: "any of ", park.First: "first of ", park.Every: "all of "}[w.Commit]
	if len(arms) == 1 {
		s = ""
	}
	s += strings.Join(arms, ", ")
	if w.Try {
		s = "try " + s
	}
	if w.Prio != 0 {
		s += fmt.Sprintf(", priority %d", w.Prio)
	}
	if w.Delay != 0 {
		s += fmt.Sprintf(", lock-delay %dms", w.Delay/1e6)
	}
	if w.Limit != 0 {
		s += fmt.Sprintf(", at most %dms", w.Limit/1e6)
	}
	return s
}

func (r *reply) String() string {
	s := codeText(r.code)
	if r.token != 0 {
		s += fmt.Sprintf(", token %d", r.token)
	}
	if r.arm != 0 {
		s += fmt.Sprintf(", arm %d", r.arm)
	}
	if r.value != 0 {
		s += fmt.Sprintf(", value %d", r.value)
	}
	return s
}

func codeText(c park.Code) string {
	return [...]string{
		park.Granted: "granted", park.Done: "done", park.Busy: "busy", park.Over: "over",
		park.Invalid: "invalid", park.Mismatch: "mismatch", park.Limit: "limit", park.Full: "full",
		park.NotFound: "not found", park.TimedOut: "timed out", park.Recalled: "recalled",
		park.Revoked: "revoked", park.Ended: "ended",
	}[c]
}

func outcomeText(o lessee.Outcome) string {
	s := [...]string{
		lessee.Granted: "granted", lessee.Done: "done", lessee.Refused: "refused",
		lessee.Over: "over", lessee.Ended: "ended", lessee.Recalled: "recalled",
		lessee.Lost: "lost", lessee.Unknown: "unknown",
	}[o.Verdict]
	if o.Reason != 0 {
		s += ", " + [...]string{
			lessee.ReasonExpired: "expired", lessee.ReasonPaused: "paused",
			lessee.ReasonRevoked: "revoked", lessee.ReasonClosed: "closed",
			lessee.ReasonEnded: "ended by the cluster",
		}[o.Reason]
	}
	if o.Body != nil {
		s += fmt.Sprintf(" (%v)", o.Body)
	}
	return s
}

func attachText(a lessee.Attach) string {
	s := fmt.Sprintf("attaches, epoch %d:", a.Epoch)
	if a.Session != 0 {
		s += fmt.Sprintf(" takes up session %d", a.Session)
	} else {
		s += " opens"
	}
	if a.Replaces != 0 {
		s += fmt.Sprintf(" in place of session %d", a.Replaces)
	}
	return s + fmt.Sprintf(", wants %v", a.Wanted)
}

func attachedText(a lessee.Attached) string {
	s := fmt.Sprintf("is attached to session %d, last seq %d", a.Session, a.Last)
	if a.ReplacedGone {
		return s + ", the old one is gone"
	}
	if a.ReplacedLast != 0 {
		s += fmt.Sprintf(", that of the old one %d:", a.ReplacedLast)
	}
	for _, r := range a.Replaced {
		s += fmt.Sprintf(" %d %v", r.Seq, r.Body)
	}
	return s
}

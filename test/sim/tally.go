package main

import (
	"fmt"
	"strings"

	"coordd.dev/internal/lessee"
	"coordd.dev/internal/park"
)

// A tally counts the states that the simulation is there to reach.
type tally [tallyEnd]int

type tallied int

const (
	tallyCut tallied = iota
	tallyLateFrame
	tallyHalfOpen
	tallyElected
	tallyDeposed
	tallyOutage
	tallyPausedOut
	tallyUnknown
	tallyLateCommit
	tallyTruncated
	tallyDouble
	tallyAgain
	tallyDropped
	tallyGap
	tallyRestart
	tallyReplayed
	tallyCrash
	tallyJump
	tallyRenewalLost
	tallyRenewalRevoked
	tallyRevoked
	tallyRevokedNow
	tallyRecalled
	tallyLateOpen
	tallyReplacedNamed
	tallyGrantedAgain
	tallyAllGranted
	tallyEndTogether
	tallyEndRacesGrant
	tallyLockDelay
	tallyLostExpired
	tallyLostPaused
	tallyLostRevoked
	tallyLostEnded
	tallyReleaseLost
	tallyBusy
	tallyTimedOut
	tallyNoLongerFits
	tallyWorkGoesOn
	tallyTerm
	tallyProclaimed
	tallyTransferred
	tallyTransferRefused
	tallyPriority
	tallyCallAgain
	tallyCallLost
	tallyJoined
	tallyAnsweredAgain
	tallyEndFirst
	tallyTooLate
	tallyForgotten
	tallyCallerLost
	tallyCallerRevoked
	tallyCallerCrash
	tallyWatchMoved
	tallyWatchSkipped
	tallyEnd
)

func tallyNames() []string {
	return []string{
		"stream cut", "frame of an old epoch", "half-open stream", "leader elected", "deposed leader goes on",
		"outage", "paused leader replaced", "append unknown", "committed by the next leader",
		"truncated", "command twice in an entry", "command again in a later entry", "frame dropped", "gap refused", "restart", "restart from an old snapshot",
		"client crash", "clock jump", "renewal lost", "renewal refused: revoked", "session revoked",
		"session revoked at once", "hold recalled", "opened after its own deadline",
		"results of a replaced session", "hold granted again", "LockAll granted",
		"sessions ending in one entry", "end racing a grant", "lock-delay", "lost: expired",
		"lost: paused", "lost: revoked", "lost: ended by the cluster", "release of a lost hold", "busy", "wait limit", "no longer fits",
		"work going on after a loss", "leadership", "proclamation", "transfer", "transfer refused",
		"granted before one who asked earlier, by priority", "unary call again", "unary message lost",
		"request joined", "request answered again", "end before its request", "request after its end",
		"forgotten request asked anew", "unary session lost with calls", "unary session revoked", "caller crash",
		"watch resumed at another node", "watch skipped",
	}
}

func (t *tally) hit(k tallied) { t[k]++ }

func (t *tally) lost(r lessee.Reason) {
	switch r {
	case lessee.ReasonExpired:
		t.hit(tallyLostExpired)
	case lessee.ReasonPaused:
		t.hit(tallyLostPaused)
	case lessee.ReasonRevoked:
		t.hit(tallyLostRevoked)
	case lessee.ReasonEnded:
		t.hit(tallyLostEnded)
	default:
	}
}

func (t *tally) verdict(out lessee.Outcome, o *op) {
	switch {
	case out.Verdict == lessee.Lost && o.changes != nil:
		t.hit(tallyReleaseLost)
	case out.Verdict != lessee.Refused:
	default:
		if r, _ := out.Body.(*reply); r.code == park.Busy {
			t.hit(tallyBusy)
		} else if r.code == park.TimedOut {
			t.hit(tallyTimedOut)
		} else if r.code == park.Invalid {
			t.hit(tallyNoLongerFits)
		}
	}
}

func (t *tally) add(other *tally) {
	for i, n := range other {
		t[i] += n
	}
}

// missing names what was never reached.
func (t *tally) missing() (names []string) {
	for i, n := range t {
		if n == 0 {
			names = append(names, tallyNames()[i])
		}
	}
	return names
}

func (t *tally) String() string {
	var b strings.Builder
	for i, n := range t {
		fmt.Fprintf(&b, "%10d  %s\n", n, tallyNames()[i])
	}
	return b.String()
}

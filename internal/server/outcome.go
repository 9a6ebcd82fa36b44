package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/lock"
	"coordd.dev/raftstore"
)

// This file is the half of the table of errors.go that calls with request ids have.

// anotherID ends what is said of every refusal that the machine made: it is what the id has
// become, so that asking again under it has the same answer for ever.
const anotherID = ", under another request_id"

// refusedOutcome is the status of a call that the machine answered with something else
// than what it asked for.
func refusedOutcome(what string, c *machine.Call, o *outcome) error {
	var reason coordv1.Reason
	var why string // and what next
	var more []proto.Message
	value := map[string]string{metaValue: strconv.FormatInt(o.value, 10)}
	var metadata map[string]string
	switch o.code {
	case park.Busy:
		reason, why = coordv1.Reason_REASON_BUSY, "was not to be had when it was tried"
		if d := o.description; d != nil { // of a retry the machine does not know it any more
			why, more = "would wait"+inTheWay(d), []proto.Message{descriptionOf(d)}
		}
		why += "; ask again, or without try"
	case park.TimedOut:
		reason, why = coordv1.Reason_REASON_TIMED_OUT, "not to be had within the wait limit; ask again"
	case park.Mismatch:
		reason, metadata = coordv1.Reason_REASON_MISMATCH, value
		why = fmt.Sprintf("it was made with limit %d; give that, or 0 for whatever it is", o.value)
	case park.Over:
		reason = coordv1.Reason_REASON_CALL_OVER
		why = "the call of this request_id has ended, its hold released or its wait cancelled; ask again"
	case park.Invalid:
		reason, metadata, why = coordv1.Reason_REASON_INVALID, value, whyInvalid(&c.Op, o.value)
	case park.NotFound:
		reason, why = coordv1.Reason_REASON_NOT_FOUND, whyNotFound(&c.Op)
	case park.Limit:
		reason, metadata, value[metaLimit] = coordv1.Reason_REASON_LIMIT, value, "cluster"
		why = fmt.Sprintf("the cluster has %d of these, as many as it can have; %s", o.value, afterLimit(&c.Op, o.value))
	case park.Full:
		reason, metadata, value[metaLimit] = coordv1.Reason_REASON_LIMIT, value, "calls"
		why = fmt.Sprintf("the session has %d calls that wait or hold, as many as it can have; end some, then ask again", o.value)
	case park.Granted, park.Done:
		reason, why = coordv1.Reason_REASON_INVALID, "its request_id is that of another kind of call; ask again"
	default:
		return status.Errorf(codes.Internal, "%s: the machine answered %v", what, o.code)
	}
	return Error(reason, what+": "+why+anotherID, metadata, more...)
}

// afterLimit says what to do about a limit of the cluster. A semaphore's limit stays for good
// (SEMANTICS E9), so that whoever waited for another to go would wait in vain; but there may
// be as many waits.
func afterLimit(op *machine.Op, value int64) string {
	makes := op.Do == machine.DoResize
	for _, a := range op.Wait.Arms {
		makes = makes || a.Limit != 0
	}
	if makes && value == lock.MaxSemaphores {
		return "semaphores keep their limits and do not go: use one that there is, or retry later"
	}
	return "retry later"
}

// whyInvalid says what only the machine can find wrong with an op: the rest was checked
// before. value is the limit that it met.
func whyInvalid(op *machine.Op, value int64) string {
	switch op.Do {
	case machine.DoWait:
		return fmt.Sprintf("it asks for more than its limit in force, %d; resize it, or ask for less", value)
	case machine.DoRelease:
		return fmt.Sprintf("count is above the %d that the call holds, or it holds no permits; correct hold or count", value)
	case machine.DoProclaim, machine.DoTransfer:
		return "the call of leadership leads nothing; give the request_id of a Campaign"
	default:
		return fmt.Sprintf("an argument breaks the limit %d; correct it", value)
	}
}

func whyNotFound(op *machine.Op) string {
	switch op.Do {
	case machine.DoWait:
		return "there is none of that name, and no limit to make it with; give its limit"
	case machine.DoTransfer:
		return "the call of leadership does not lead, or that session has no candidate that waits; look who waits, then ask again"
	default:
		return "the call it is about holds nothing: it waits, has ended, or never was; ask under its own id what became of it, then again"
	}
}

// mostNamed is how many holders a message names.
const mostNamed = 3

// inTheWay reads ": held 2m by host-a pid 812 (billing), 3 ahead".
func inTheWay(d *machine.Description) string {
	var b strings.Builder
	for i, h := range d.Holders {
		switch {
		case i == 0:
			fmt.Fprintf(&b, ": held %s by %s", short(h.For), partyName(&h))
		case i < mostNamed:
			fmt.Fprintf(&b, " and %s by %s", short(h.For), partyName(&h))
		case i == mostNamed:
			fmt.Fprintf(&b, " and %d more", len(d.Holders)-i)
		}
		if h.Delayed != 0 && i < mostNamed {
			fmt.Fprintf(&b, ", whose session has ended: its lock-delay lasts %s more", short(h.Delayed))
		}
	}
	if d.Waiting > 0 {
		fmt.Fprintf(&b, ", %d ahead", d.Waiting)
	}
	return b.String()
}

// partyName is in the words of the Go client's errors.
func partyName(p *machine.Party) string {
	who := whoOf(p.Who)
	host, pid, why := who.GetMetadata()["host"], who.GetMetadata()["pid"], p.Note
	s := host
	if s == "" {
		s = "session " + p.Session.String()
	}
	if pid != "" {
		s += " pid " + pid
	}
	if why == "" {
		why = who.GetName()
	}
	if why != "" {
		s += " (" + why + ")"
	}
	return s
}

// short is a duration in nanoseconds, without the digits that do not matter.
func short(nanos int64) string {
	d := time.Duration(nanos)
	if d >= 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}

// refusedCall is the status of a call that was refused as a whole, or whose session ended.
func refusedCall(session park.SessionID, r machine.Refusal) error {
	if r == machine.RefusedNotYours {
		return Error(coordv1.Reason_REASON_NOT_YOURS, "session "+session.String()+
			": the secret is not the session's, or its calls go over a stream; give the lease that OpenSession returned", nil)
	}
	return refusal(session, r)
}

// callFailed is the status of a call with a request id, or of a read, whose command failed.
// Whether it was committed does not matter: to ask again, under the same id, settles it.
func callFailed(what, leader string, err error) error {
	switch {
	case errors.Is(err, raftstore.ErrNotLeader):
		return errNoLeader(what, leader)
	case errors.Is(err, raftstore.ErrOverloaded):
		return errOverloaded(what, "more bytes wait to be committed than may")
	case errors.Is(err, raftstore.ErrClosed):
		return errStopping()
	}
	return errAskAgain(what, "the leader could not learn whether it was committed")
}

// errAskAgain is NO_LEADER of a call that may have been made: to ask again is harmless.
func errAskAgain(what, why string) error {
	return Error(coordv1.Reason_REASON_NO_LEADER,
		what+": outcome unknown: "+why+"; ask again, under the same request_id if it has one", nil)
}

// hungUp is the status of a call whose RPC ended first: what is parked stays so.
func hungUp(ctx context.Context, what string) error {
	code := status.FromContextError(ctx.Err()).Code()
	return status.Error(code, what+": the RPC ended before its answer, the call goes on until its wait limit; "+
		"ask again under the same request_id, or cancel it")
}

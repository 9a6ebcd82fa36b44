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
	"coordd.dev/raftstore"
)

// This file is the half of the table of errors.go that calls with request ids have.

// anotherID ends what is said of a refusal that the machine made: it is what the id has
// become, so that asking again under it has the same answer for ever.
const anotherID = ", under another request_id"

// A refused outcome, as people and programs are told it.
type unfit struct {
	reason   coordv1.Reason
	why      string // and what next
	metadata map[string]string
	details  []proto.Message
}

// refusedOutcome is the status of a call that the machine answered with something else
// than what it asked for. stored is what an object is now, for what the answer leaves out.
func refusedOutcome(what string, c *machine.Call, o *outcome, stored func(park.Object) park.Traits) error {
	u := unfitOf(&c.Op, o, stored)
	if u.reason == coordv1.Reason_REASON_UNSPECIFIED {
		return status.Errorf(codes.Internal, "%s: the machine answered %v", what, o.code)
	}
	if u.reason != coordv1.Reason_REASON_CLOSED && u.reason != coordv1.Reason_REASON_CUT_SHORT {
		u.why += anotherID // else no call of that kind will do
	}
	return Error(u.reason, what+": "+u.why, u.metadata, u.details...)
}

// unfitOf has the one line of each code.
func unfitOf(op *machine.Op, o *outcome, stored func(park.Object) park.Traits) unfit {
	value := map[string]string{metaValue: strconv.FormatInt(o.value, 10)}
	switch o.code {
	case park.Busy:
		return busy(op, o)
	case park.TimedOut:
		return unfit{reason: coordv1.Reason_REASON_TIMED_OUT, why: whyTimedOut(op)}
	case park.Mismatch:
		return mismatch(op, o.value, stored)
	case park.Over:
		const why = "the call of this request_id has ended, its hold released or its wait cancelled; ask again"
		return unfit{reason: coordv1.Reason_REASON_CALL_OVER, why: why}
	case park.Invalid:
		return unfit{coordv1.Reason_REASON_INVALID, whyInvalid(op, o.value), value, nil}
	case park.NotFound:
		return unfit{reason: coordv1.Reason_REASON_NOT_FOUND, why: whyNotFound(op)}
	case park.Limit:
		return limited(op, o.value)
	case park.Full:
		value[metaLimit] = limitCalls
		why := fmt.Sprintf("the session has %d calls that wait or hold, as many as it can have; end some, then ask again", o.value)
		return unfit{coordv1.Reason_REASON_LIMIT, why, value, nil}
	case park.Closed:
		return unfit{coordv1.Reason_REASON_CLOSED, whyClosed(op, o.arm), armOf(op, o), nil}
	case park.CutShort:
		const why = "the count is zero because a session ended before it had settled what it added; " +
			"find out what was left undone, and begin a round of another name"
		return unfit{coordv1.Reason_REASON_CUT_SHORT, why, armOf(op, o), nil}
	case park.Deadlock:
		return deadlocked(o.cycle)
	case park.Forbidden: // only of streams: a call that is an RPC is refused before the machine knows its id
		return unfit{reason: coordv1.Reason_REASON_FORBIDDEN, why: "who asks has no right to it"}
	case park.Granted, park.Done:
		const why = "its request_id is that of another kind of call; ask again"
		return unfit{reason: coordv1.Reason_REASON_INVALID, why: why}
	default:
		return unfit{}
	}
}

// armOf says which arm an outcome is of, where there are several.
func armOf(op *machine.Op, o *outcome) map[string]string {
	if len(op.Wait.Arms) < 2 {
		return nil
	}
	return map[string]string{metaArm: strconv.FormatUint(uint64(o.arm), 10)}
}

// busy is what is in the way of a try; of a retry the machine does not know it any more.
func busy(op *machine.Op, o *outcome) unfit {
	u := unfit{reason: coordv1.Reason_REASON_BUSY, why: "was not to be had when it was tried; ask again, or without try"}
	switch d := o.description; {
	case op.Do == machine.DoDelete:
		u.why = fmt.Sprintf("it is used: %d hold it, wait for it or have something of it; have them end, then ask again", o.value)
	case d != nil:
		u.why = "would wait" + inTheWay(d) + "; ask again, or without try"
		u.details = []proto.Message{descriptionOf(d)}
	}
	return u
}

// deadlocked tells of each party in a detail; of a retry nobody knows them any more.
func deadlocked(cycle []machine.CycleWait) unfit {
	u := unfit{reason: coordv1.Reason_REASON_DEADLOCK}
	u.why = "each of those in a cycle would wait for the next, for ever; let go of what the others wait for, then ask again"
	for i := range cycle {
		u.details = append(u.details, cycleWaitOf(&cycle[i]))
	}
	return u
}

// mostNamed is how many holders a message names.
const mostNamed = 3

// inTheWay reads ": held 2m by host-a pid 812 (billing), 3 ahead".
func inTheWay(d *machine.Description) string {
	switch d.On.Kind {
	case park.KindChan:
		return ": " + inAChannel(d)
	case park.KindWaitGroup:
		return fmt.Sprintf(": it counts %d", d.Held)
	default:
	}
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

// inAChannel says what keeps a channel's senders or receivers.
func inAChannel(d *machine.Description) string {
	switch {
	case !d.Stored:
		return "there is no channel of that name yet"
	case d.Limit == 0:
		return "nobody is on its other side"
	default:
		return fmt.Sprintf("it has %d of %d elements, %d of them unacknowledged", d.Held, d.Limit, d.Unacked)
	}
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

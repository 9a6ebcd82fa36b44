package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
)

// Keys of an ErrorInfo's metadata.
const (
	metaLeader  = "leader"  // of NO_LEADER: where clients reach the leader
	metaNodes   = "nodes"   // of NO_LEADER that ends a stream: where clients reach the members, by commas
	metaLimit   = "limit"   // of LIMIT: which one
	metaRevoked = "revoked" // of SESSION_OVER: "true" if an operator took it back
	metaIndex   = "index"   // of NOT_FOUND, when an object is read: the log index of that
	metaValue   = "value"   // of MISMATCH the limit it was made with, of INVALID that in force, of LIMIT that met
	metaCodec   = "codec"   // of MISMATCH: the codec it was made with
	metaMember  = "member"  // of UNFIT, when a member is to be added: the one that has the address, while another node is there
	metaArm     = "arm"     // of CLOSED and CUT_SHORT, where there are several: which one
)

// The domain of every ErrorInfo.
const errorDomain = "coordd.dev"

// retryAfter is after how long a refused client may try again; 0 where to wait does not help, or
// the refusal says it itself. A limit is not in it if room is made under it only by somebody who
// means to: who deletes something, or the client itself.
func retryAfter(reason coordv1.Reason, limit string) time.Duration {
	switch reason {
	case coordv1.Reason_REASON_OVERLOADED:
		return 200 * time.Millisecond
	case coordv1.Reason_REASON_LIMIT:
		switch limit {
		case limitSessions, limitConnection, limitClient, limitWatches, limitCalls, limitWaiters, limitWaits, limitElements, limitBalances:
			return time.Second // others have to end something first
		}
	default:
	}
	return 0
}

// Values of metaLimit that a client may wait for.
const (
	limitSessions   = "sessions"   // in the cluster
	limitConnection = "connection" // calls that wait, on the connection
	limitClient     = "client"     // what one client may have: see Quota
	limitWatches    = "watches"    // at the leader
	limitCalls      = "calls"      // that wait or hold, of the session
	limitWaiters    = "waiters"    // for one object
	limitWaits      = "waits"      // and what they are to send, in the cluster
	limitElements   = "elements"   // of channels, in the cluster
	limitBalances   = "balances"   // of sessions in wait groups, in the cluster
)

// errLimit is LIMIT, with the value of metaLimit.
func errLimit(what, limit, why string) error {
	return Error(coordv1.Reason_REASON_LIMIT, what+": "+why, map[string]string{metaLimit: limit})
}

// codeOf is the gRPC half of the one table from reasons to statuses.
func codeOf(reason coordv1.Reason) codes.Code {
	switch reason {
	case coordv1.Reason_REASON_INVALID:
		return codes.InvalidArgument
	case coordv1.Reason_REASON_NO_LEADER, coordv1.Reason_REASON_STOPPING, coordv1.Reason_REASON_RESTORED:
		return codes.Unavailable
	case coordv1.Reason_REASON_UNKNOWN_OUTCOME:
		return codes.Unknown // never retried by a generic policy
	case coordv1.Reason_REASON_SESSION_OVER:
		return codes.FailedPrecondition
	case coordv1.Reason_REASON_NOT_YOURS, coordv1.Reason_REASON_FORBIDDEN:
		return codes.PermissionDenied
	case coordv1.Reason_REASON_UNAUTHENTICATED:
		return codes.Unauthenticated
	case coordv1.Reason_REASON_OLD_EPOCH, coordv1.Reason_REASON_GAP:
		return codes.Aborted // go on at a higher level: attach again
	case coordv1.Reason_REASON_BUSY, coordv1.Reason_REASON_TIMED_OUT:
		return codes.Aborted // likewise: ask again under another id
	case coordv1.Reason_REASON_DEADLOCK:
		return codes.Aborted // likewise, but let go of something first
	case coordv1.Reason_REASON_MISMATCH, coordv1.Reason_REASON_CALL_OVER,
		coordv1.Reason_REASON_CLOSED, coordv1.Reason_REASON_CUT_SHORT, coordv1.Reason_REASON_UNFIT:
		return codes.FailedPrecondition
	case coordv1.Reason_REASON_LIMIT, coordv1.Reason_REASON_OVERLOADED:
		return codes.ResourceExhausted
	case coordv1.Reason_REASON_NOT_FOUND:
		return codes.NotFound
	case coordv1.Reason_REASON_UNSPECIFIED:
	}
	return codes.Internal
}

// Error returns the refusal of a call: a status with the reason's code and an ErrorInfo.
// The message reads "what: why; what next". metadata may be nil, and further details may
// follow. The client has the inverse.
func Error(reason coordv1.Reason, message string, metadata map[string]string, more ...proto.Message) error {
	st := status.New(codeOf(reason), message)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Domain:   errorDomain,
		Reason:   strings.TrimPrefix(reason.String(), "REASON_"),
		Metadata: maps.Clone(metadata),
	}}
	for _, m := range more {
		details = append(details, protoadapt.MessageV1Of(m))
	}
	if d := retryAfter(reason, metadata[metaLimit]); d > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	}
	if detailed, err := st.WithDetails(details...); err == nil {
		st = detailed
	}
	return st.Err()
}

// hasReason says whether err is one of Error's.
func hasReason(err error) bool { return reasonIn(err) != coordv1.Reason_REASON_UNSPECIFIED }

// reasonIn is the reason of one of Error's.
func reasonIn(err error) coordv1.Reason {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.Domain == errorDomain {
			return coordv1.Reason(coordv1.Reason_value["REASON_"+info.Reason])
		}
	}
	return coordv1.Reason_REASON_UNSPECIFIED
}

func invalid(format string, args ...any) error {
	return Error(coordv1.Reason_REASON_INVALID, fmt.Sprintf(format, args...), nil)
}

func errStopping() error {
	return Error(coordv1.Reason_REASON_STOPPING, "node: is shutting down; use another node", nil)
}

func errOverloaded(what, why string) error {
	return Error(coordv1.Reason_REASON_OVERLOADED, what+": "+why+"; try again later", nil)
}

// errDeposed ends a stream of a leader that leads no more. It says where all the members are: who
// was connected since before they were replaced knows of no other.
func errDeposed(leader string, nodes []string) error {
	metadata, where := map[string]string{metaNodes: strings.Join(nodes, ",")}, "another node"
	if leader != "" {
		metadata[metaLeader], where = leader, leader
	}
	return Error(coordv1.Reason_REASON_NO_LEADER, "stream: this node does not lead any more; try "+where, metadata)
}

// errNoLeader names the leader's client address if there is a known one.
func errNoLeader(what, leader string) error {
	if leader == "" {
		return Error(coordv1.Reason_REASON_NO_LEADER,
			what+": no leader is known at this node; try again, or another node", nil)
	}
	return Error(coordv1.Reason_REASON_NO_LEADER,
		what+": this node does not lead; try "+leader, map[string]string{metaLeader: leader})
}

// refusal is the status that answers or ends a stream which the machine refuses.
func refusal(session park.SessionID, r machine.Refusal) error {
	if session == 0 {
		return refusalOf("attach", r)
	}
	return refusalOf("session "+session.String(), r)
}

func refusalOf(what string, r machine.Refusal) error {
	switch r {
	case machine.RefusedOver:
		return Error(coordv1.Reason_REASON_SESSION_OVER,
			what+": it has ended, or never was; open another", nil)
	case machine.RefusedRevoked:
		return Error(coordv1.Reason_REASON_SESSION_OVER,
			what+": an operator revoked it; open another", map[string]string{metaRevoked: "true"})
	case machine.RefusedNotYours:
		return Error(coordv1.Reason_REASON_NOT_YOURS,
			what+": secret or instance is not the session's; open another", nil)
	case machine.RefusedOldEpoch:
		return Error(coordv1.Reason_REASON_OLD_EPOCH,
			what+": a later stream has taken over; attach with a higher epoch", nil)
	case machine.RefusedGap:
		return Error(coordv1.Reason_REASON_GAP,
			what+": a seq was skipped; attach again and send what follows last_seq", nil)
	case machine.RefusedInvalid:
		return invalid("%s: TTL, who or ranges break a limit; correct them", what)
	case machine.RefusedLimit:
		return errLimit(what, limitSessions, "the cluster has as many sessions as it can have; retry later")
	case machine.RefusedUnready:
		return errNoLeader(what, "")
	case machine.RefusedRestored:
		return errRestored(what, 0) // whoever has an answer of the machine says for how long
	}
	return status.Errorf(codes.Internal, "%s: refused for the unknown reason %d", what, r)
}

// proposalError is the status of a unary call without a request id that changes something,
// whose proposal failed; next is what to do if nobody knows whether it took effect.
func proposalError(ctx context.Context, what, next, leader string, err error) error {
	switch {
	case errors.Is(err, raftstore.ErrNotLeader):
		return errNoLeader(what, leader)
	case errors.Is(err, raftstore.ErrOverloaded):
		return errOverloaded(what, "more bytes wait to be committed than may")
	case errors.Is(err, raftstore.ErrClosed):
		return errStopping()
	case errors.Is(err, raftstore.ErrUnknown):
		why := "the leader could not learn whether it was committed"
		if ctx.Err() != nil {
			why = "the call ended before its answer"
		}
		return Error(coordv1.Reason_REASON_UNKNOWN_OUTCOME,
			what+": "+why+"; "+next, nil)
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err() // before it was proposed
	}
	return status.Errorf(codes.Internal, "%s: %v", what, err)
}

// streamError is the status that ends a stream whose command failed. Whether it was
// committed does not matter: the client attaches again and its seqs settle it.
func streamError(leader string, err error) error {
	switch {
	case errors.Is(err, raftstore.ErrOverloaded):
		return errOverloaded("stream", "more bytes wait to be committed than may")
	case errors.Is(err, raftstore.ErrClosed):
		return errStopping()
	}
	return errNoLeader("stream", leader)
}

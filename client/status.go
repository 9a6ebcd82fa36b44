package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/certs"
	"coordd.dev/internal/lessee"
)

// This file is the inverse of the table of reasons in internal/server: what a refused
// call, the end of a stream, or a refused op means here.

const (
	errorDomain = "coordd.dev"
	metaLeader  = "leader"
	metaNodes   = "nodes"
	metaLimit   = "limit"
	metaRevoked = "revoked"
	metaIndex   = "index"
)

// A refused is what the server said of a call that it refused.
type refused struct {
	reason     coordv1.Reason // 0 if it came from the network, not from a coordd
	message    string
	metadata   map[string]string
	retryAfter time.Duration // the least to wait, of one that has too much to do; else 0
	cause      error
}

// refusedBy reads the error of a call.
func refusedBy(err error) *refused {
	st := status.Convert(err)
	r := &refused{message: st.Message(), cause: err}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == errorDomain {
				r.reason = coordv1.Reason(coordv1.Reason_value["REASON_"+d.GetReason()])
				r.metadata = d.GetMetadata()
			}
		case *errdetails.RetryInfo:
			r.retryAfter = min(max(0, d.GetRetryDelay().AsDuration()), retryMost)
		}
	}
	return r
}

func (r *refused) Error() string { return r.message }

// Unwrap is the sentinel that the reason stands for; nil if a user never sees it.
func (r *refused) Unwrap() error {
	switch r.reason {
	case coordv1.Reason_REASON_INVALID:
		return ErrInvalid
	case coordv1.Reason_REASON_NO_LEADER, coordv1.Reason_REASON_STOPPING, coordv1.Reason_REASON_OVERLOADED,
		coordv1.Reason_REASON_RESTORED:
		return ErrUnavailable
	case coordv1.Reason_REASON_UNAUTHENTICATED, coordv1.Reason_REASON_FORBIDDEN:
		return ErrForbidden
	case coordv1.Reason_REASON_UNKNOWN_OUTCOME:
		return ErrUnknown
	case coordv1.Reason_REASON_SESSION_OVER, coordv1.Reason_REASON_NOT_YOURS:
		return ErrLost
	case coordv1.Reason_REASON_LIMIT:
		return ErrLimit
	case coordv1.Reason_REASON_NOT_FOUND:
		return ErrNotFound
	case coordv1.Reason_REASON_BUSY:
		return ErrBusy
	case coordv1.Reason_REASON_MISMATCH:
		return ErrMismatch
	case coordv1.Reason_REASON_CLOSED:
		return ErrClosed
	case coordv1.Reason_REASON_CUT_SHORT:
		return ErrCutShort
	case coordv1.Reason_REASON_DEADLOCK:
		return ErrDeadlock
	case coordv1.Reason_REASON_TIMED_OUT, coordv1.Reason_REASON_CALL_OVER: // only of calls without a stream
	case coordv1.Reason_REASON_UNSPECIFIED, coordv1.Reason_REASON_OLD_EPOCH, coordv1.Reason_REASON_GAP:
	case coordv1.Reason_REASON_UNFIT: // only of calls about the cluster
	}
	return r.cause
}

// leader is where the refuser says that the leader is, "" if it does not.
func (r *refused) leader() string { return r.metadata[metaLeader] }

// nodes are where the refuser says that the members are, none if it does not.
func (r *refused) nodes() []string {
	if s := r.metadata[metaNodes]; s != "" {
		return strings.Split(s, ",")
	}
	return nil
}

// index is the log index of which an answer is true that nothing is there, 0 if the node
// does not say.
func (r *refused) index() uint64 {
	index, _ := strconv.ParseUint(r.metadata[metaIndex], 10, 64) // or 0
	return index
}

// final reports whether asking again, here or elsewhere, would bring the same.
func (r *refused) final() bool {
	switch r.reason {
	case coordv1.Reason_REASON_INVALID, coordv1.Reason_REASON_NOT_FOUND, coordv1.Reason_REASON_MISMATCH,
		coordv1.Reason_REASON_UNAUTHENTICATED, coordv1.Reason_REASON_FORBIDDEN:
		return true
	case coordv1.Reason_REASON_UNSPECIFIED:
		return status.Code(r.cause) == codes.Unimplemented
	default:
		return false
	}
}

// sessionOver reports whether the session is refused for good, and why.
func (r *refused) sessionOver() (lessee.Reason, bool) {
	switch r.reason {
	case coordv1.Reason_REASON_SESSION_OVER, coordv1.Reason_REASON_NOT_YOURS:
		if r.metadata[metaRevoked] != "" {
			return lessee.ReasonRevoked, true
		}
		return lessee.ReasonEnded, true
	default:
		return 0, false
	}
}

// aboutTheLink reports whether another node, or a new connection, may do better: not
// if the refusal is about the one session, or the one stream.
func (r *refused) aboutTheLink() bool {
	switch r.reason {
	case coordv1.Reason_REASON_UNSPECIFIED:
		return !r.aboutTheStream()
	case coordv1.Reason_REASON_NO_LEADER, coordv1.Reason_REASON_STOPPING:
		return true
	default:
		return false
	}
}

// aboutTheStream reports whether gRPC, on either side, ended one stream or call and no
// other, as for a message that it cannot encode or that is too large. The link, which
// others use, is not closed for that.
func (r *refused) aboutTheStream() bool {
	if r.reason != coordv1.Reason_REASON_UNSPECIFIED {
		return false
	}
	switch status.Code(r.cause) {
	case codes.Internal, codes.InvalidArgument, codes.ResourceExhausted:
		return true
	default:
		return false
	}
}

// refusal is the error that an op's outcome stands for.
func refusal(o *coordv1.Outcome) error {
	switch o.GetCode() {
	case coordv1.Code_CODE_BUSY:
		if o.GetDescription() == nil {
			return fmt.Errorf("%w: it is used by %d", ErrBusy, o.GetValue())
		}
		d := descriptionFrom(o.GetDescription())
		return &BusyError{Kind: d.Kind, Name: d.Name, Holders: d.Holders, Waiting: d.Waiting}
	case coordv1.Code_CODE_INVALID:
		if o.GetValue() > 0 {
			return fmt.Errorf("%w: more than the limit of %d", ErrInvalid, o.GetValue())
		}
		return ErrInvalid
	case coordv1.Code_CODE_MISMATCH:
		if o.GetValue() == codecDiffers {
			return fmt.Errorf("%w: it was made with another codec", ErrMismatch)
		}
		return fmt.Errorf("%w: it was made with limit %d", ErrMismatch, o.GetValue())
	case coordv1.Code_CODE_LIMIT:
		return fmt.Errorf("%w: there are %d, as many as may be; retry later", ErrLimit, o.GetValue())
	case coordv1.Code_CODE_FULL:
		return fmt.Errorf("%w: the session has as many calls as it can have; retry later", ErrLimit)
	case coordv1.Code_CODE_NOT_FOUND:
		return ErrNotFound
	case coordv1.Code_CODE_CLOSED:
		return ErrClosed
	case coordv1.Code_CODE_CUT_SHORT:
		return ErrCutShort
	case coordv1.Code_CODE_DEADLOCK:
		return deadlock(o)
	case coordv1.Code_CODE_FORBIDDEN:
		return ErrForbidden
	default:
		return fmt.Errorf("%w: the cluster answered %v", ErrUnknown, o.GetCode())
	}
}

// deadlock is the cycle that the cluster found.
func deadlock(o *coordv1.Outcome) error {
	e := &DeadlockError{}
	for _, w := range o.GetCycle() {
		wait := Wait{
			Who:   Holder{Session: sessionID(w.GetSessionId()), Name: w.GetWho().GetName(), Metadata: w.GetWho().GetMetadata(), Note: w.GetNote()},
			Wants: refFrom(w.GetWants()), Skipped: int(w.GetSkipped()),
		}
		for _, r := range w.GetHolds() {
			wait.Holds = append(wait.Holds, refFrom(r))
		}
		e.Cycle = append(e.Cycle, wait)
	}
	return e
}

func refFrom(r *coordv1.Ref) Ref {
	return Ref{Kind: Kind(r.GetKind()), Name: r.GetName(), At: r.GetSite()}
}

// verdict is what an outcome means to the lessee.
func verdict(c coordv1.Code) lessee.Verdict {
	switch c {
	case coordv1.Code_CODE_GRANTED:
		return lessee.Granted
	case coordv1.Code_CODE_DONE:
		return lessee.Done
	case coordv1.Code_CODE_OVER:
		return lessee.Over
	case coordv1.Code_CODE_RECALLED:
		return lessee.Recalled
	case coordv1.Code_CODE_REVOKED:
		return lessee.Lost
	case coordv1.Code_CODE_ENDED:
		return lessee.Ended
	default:
		return lessee.Refused
	}
}

// fault says in a few words why an endpoint could not be used. gRPC wraps what the
// dialler said in prose; dialled is that error itself, if there was one.
func fault(err, dialled error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case errors.As(dialled, &errno):
		return errno.Error()
	case errors.As(dialled, &dns):
		return dns.Err
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return "no answer"
	case dialled != nil:
		return dialled.Error()
	}
	st, ok := status.FromError(err)
	switch {
	case !ok:
		return err.Error()
	case certs.FaultOf(st.Message()) != "":
		return string(certs.FaultOf(st.Message()))
	case st.Code() == codes.Unimplemented, strings.Contains(st.Message(), "preface"): // it is no HTTP/2
		return "it answers, but is no coordd"
	}
	return strings.TrimPrefix(st.Message(), "connection error: desc = ")
}

// An unreachable is the error of a search for the leader: each endpoint asked and
// what was wrong with it.
type unreachable struct {
	faults   []endpointFault
	answered bool // by any
}

type endpointFault struct{ addr, fault string }

func (e *unreachable) Error() string {
	var b strings.Builder
	if e.answered {
		b.WriteString("no leader")
	} else {
		b.WriteString("no coordd")
	}
	for i, f := range e.faults {
		if i > 0 {
			b.WriteString(", nor")
		}
		fmt.Fprintf(&b, " at %s: %s", f.addr, f.fault)
	}
	there := func(f endpointFault) bool { return certs.FaultOf(f.fault) != "" }
	if !e.answered && !slices.ContainsFunc(e.faults, there) {
		b.WriteString("; start one: coordd dev")
	}
	return b.String()
}

// mistrusted says that no endpoint and this client trust each other, or both speak TLS. Who
// dials is told at once: it takes a person to mend that. A client that had a session goes on
// trying, for somebody may be at it.
func (e *unreachable) mistrusted() bool {
	passing := func(f endpointFault) bool { return certs.FaultOf(f.fault) == "" }
	certain := func(f endpointFault) bool { return !passing(f) && certs.FaultOf(f.fault) != certs.FaultHungUp }
	return !e.answered && slices.ContainsFunc(e.faults, certain) && !slices.ContainsFunc(e.faults, passing)
}

func (e *unreachable) Unwrap() error { return ErrUnavailable }

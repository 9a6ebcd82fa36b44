package client

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
)

// What the server's table makes of a reason, this one undoes.
func TestReasonsRoundTrip(t *testing.T) {
	sentinels := map[coordv1.Reason]error{
		coordv1.Reason_REASON_INVALID:         ErrInvalid,
		coordv1.Reason_REASON_NO_LEADER:       ErrUnavailable,
		coordv1.Reason_REASON_UNKNOWN_OUTCOME: ErrUnknown,
		coordv1.Reason_REASON_SESSION_OVER:    ErrLost,
		coordv1.Reason_REASON_NOT_YOURS:       ErrLost,
		coordv1.Reason_REASON_LIMIT:           ErrLimit,
		coordv1.Reason_REASON_OVERLOADED:      ErrUnavailable,
		coordv1.Reason_REASON_STOPPING:        ErrUnavailable,
		coordv1.Reason_REASON_NOT_FOUND:       ErrNotFound,
		coordv1.Reason_REASON_OLD_EPOCH:       nil, // a user never sees it
		coordv1.Reason_REASON_GAP:             nil,
		coordv1.Reason_REASON_BUSY:            ErrBusy,
		coordv1.Reason_REASON_MISMATCH:        ErrMismatch,
		coordv1.Reason_REASON_RESTORED:        ErrUnavailable,
		coordv1.Reason_REASON_UNAUTHENTICATED: ErrForbidden,
		coordv1.Reason_REASON_FORBIDDEN:       ErrForbidden,
		coordv1.Reason_REASON_CLOSED:          ErrClosed,
		coordv1.Reason_REASON_CUT_SHORT:       ErrCutShort,
		coordv1.Reason_REASON_DEADLOCK:        ErrDeadlock,
		coordv1.Reason_REASON_TIMED_OUT:       nil,
		coordv1.Reason_REASON_CALL_OVER:       nil,
		coordv1.Reason_REASON_UNFIT:           nil,
	}
	for n := range coordv1.Reason_name {
		reason := coordv1.Reason(n)
		if reason == coordv1.Reason_REASON_UNSPECIFIED {
			continue
		}
		want, known := sentinels[reason]
		if !known {
			t.Errorf("%v has no sentinel", reason)
		}
		err := server.Error(reason, "what: why; what next", map[string]string{"leader": "n2:7600"})
		r := refusedBy(fmt.Errorf("wrapped: %w", err))
		if r.reason != reason || r.leader() != "n2:7600" || want != nil && !errors.Is(r, want) {
			t.Errorf("%v became %v (%v)", reason, r.reason, r)
		}
		if _, over := r.sessionOver(); over != errors.Is(r, ErrLost) {
			t.Errorf("%v: over: %v", reason, over)
		}
	}
	r := refusedBy(errors.New("of the network"))
	if r.reason != 0 || !r.aboutTheLink() {
		t.Errorf("%+v", r)
	}
}

// What gRPC says of one stream is no reason to close the connection of them all.
func TestLinkOrStream(t *testing.T) {
	for code, want := range map[codes.Code]bool{
		codes.Unavailable:       true,
		codes.DeadlineExceeded:  true,
		codes.Canceled:          true, // the link was closed
		codes.Unknown:           true,
		codes.Unimplemented:     true,
		codes.Internal:          false, // cannot be encoded
		codes.ResourceExhausted: false, // too large
		codes.InvalidArgument:   false,
	} {
		r := refusedBy(status.Error(code, "x"))
		if r.aboutTheLink() != want || r.aboutTheStream() == want {
			t.Errorf("%v: about the link %v, about the stream %v", code, r.aboutTheLink(), r.aboutTheStream())
		}
	}
	if r := refusedBy(io.EOF); !r.aboutTheLink() {
		t.Error("an end without a reason is not about the link")
	}
}

package server_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
)

// The table, written down a second time: what clients in any language rely on.
func TestReasonsHaveCodes(t *testing.T) {
	want := map[coordv1.Reason]codes.Code{
		coordv1.Reason_REASON_INVALID:         codes.InvalidArgument,
		coordv1.Reason_REASON_NO_LEADER:       codes.Unavailable,
		coordv1.Reason_REASON_UNKNOWN_OUTCOME: codes.Unknown,
		coordv1.Reason_REASON_SESSION_OVER:    codes.FailedPrecondition,
		coordv1.Reason_REASON_NOT_YOURS:       codes.PermissionDenied,
		coordv1.Reason_REASON_OLD_EPOCH:       codes.Aborted,
		coordv1.Reason_REASON_GAP:             codes.Aborted,
		coordv1.Reason_REASON_LIMIT:           codes.ResourceExhausted,
		coordv1.Reason_REASON_OVERLOADED:      codes.ResourceExhausted,
		coordv1.Reason_REASON_STOPPING:        codes.Unavailable,
		coordv1.Reason_REASON_NOT_FOUND:       codes.NotFound,
		coordv1.Reason_REASON_BUSY:            codes.Aborted,
		coordv1.Reason_REASON_TIMED_OUT:       codes.Aborted,
		coordv1.Reason_REASON_MISMATCH:        codes.FailedPrecondition,
		coordv1.Reason_REASON_CALL_OVER:       codes.FailedPrecondition,
		coordv1.Reason_REASON_CLOSED:          codes.FailedPrecondition,
		coordv1.Reason_REASON_CUT_SHORT:       codes.FailedPrecondition,
		coordv1.Reason_REASON_DEADLOCK:        codes.Aborted,
		coordv1.Reason_REASON_UNAUTHENTICATED: codes.Unauthenticated,
		coordv1.Reason_REASON_FORBIDDEN:       codes.PermissionDenied,
		coordv1.Reason_REASON_UNFIT:           codes.FailedPrecondition,
		coordv1.Reason_REASON_RESTORED:        codes.Unavailable,
	}
	for number, name := range coordv1.Reason_name {
		reason := coordv1.Reason(number)
		if reason == coordv1.Reason_REASON_UNSPECIFIED {
			continue
		}
		code, ok := want[reason]
		if !ok {
			t.Errorf("%s is new: give it a code", name)
		}
		err := server.Error(reason, "what: why; what next", map[string]string{"key": "value"})
		if got := status.Code(err); got != code {
			t.Errorf("%s is %v, not %v", name, got, code)
		}
		info := infoOf(err)
		if info.GetDomain() != "coordd.dev" || info.GetReason() != strings.TrimPrefix(name, "REASON_") ||
			info.GetMetadata()["key"] != "value" {
			t.Errorf("%s has %v", name, info)
		}
		if message := status.Convert(err).Message(); message != "what: why; what next" {
			t.Errorf("%s says %q", name, message)
		}
	}
}

// Where to wait helps, that is said; where it does not, nobody is to come again.
func TestWhatIsWorthAnotherTry(t *testing.T) {
	for limit, helps := range map[string]bool{
		"sessions": true, "connection": true, "client": true, "watches": true, "calls": true,
		"waiters": true, "waits": true, "elements": true, "balances": true,
		"": false, "leases": false, "backup": false, "members": false, "object": false, "session": false, "cluster": false,
	} {
		err := server.Error(coordv1.Reason_REASON_LIMIT, "what", map[string]string{"limit": limit})
		if (retryOf(err) > 0) != helps {
			t.Errorf("limit %q: try again after %v", limit, retryOf(err))
		}
	}
	for number := range coordv1.Reason_name {
		reason := coordv1.Reason(number)
		if err := server.Error(reason, "what", nil); (retryOf(err) > 0) != (reason == coordv1.Reason_REASON_OVERLOADED) {
			t.Errorf("%v: try again after %v", reason, retryOf(err))
		}
	}
}

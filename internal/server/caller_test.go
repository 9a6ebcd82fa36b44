package server

import (
	"strings"
	"testing"

	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

func awaiting(t *testing.T, h *hub, session park.SessionID, request string, term uint64) *caller {
	t.Helper()
	c := newCaller(&machine.Call{Session: session, Request: request}, term)
	if !h.await(c) {
		t.Fatal("the hub is closed")
	}
	return c
}

// answered is the answer that c has; ok is false if it has none yet.
func (c *caller) answered() (answer, bool) {
	select {
	case a := <-c.told:
		return a, true
	default:
		return answer{}, false
	}
}

func TestCallersAreTold(t *testing.T) {
	h := newHub()
	one, two := awaiting(t, h, 1, "a", 5), awaiting(t, h, 1, "a", 5)
	other, stranger := awaiting(t, h, 1, "b", 5), awaiting(t, h, 2, "a", 5)
	h.dispatch([]machine.Event{
		{Type: machine.EventOutcome, Session: 1, Request: "a", Code: park.Recalled},
		{Type: machine.EventOutcome, Session: 1, Request: "a", Code: park.Granted, Token: 7},
		{Type: machine.EventOutcome, Session: 1, Request: "a", Code: park.Over}, // it is told once
	})
	for _, c := range []*caller{one, two} {
		if a, ok := c.answered(); !ok || a.code != park.Granted || a.token != 7 {
			t.Errorf("told %+v, %v", a, ok)
		}
		h.forget(c)
	}
	for _, c := range []*caller{other, stranger} {
		if a, ok := c.answered(); ok {
			t.Errorf("a bystander was told %+v", a)
		}
	}
	h.dispatch([]machine.Event{{Type: machine.EventEnded, Session: 2, Refusal: machine.RefusedRevoked}})
	if a, ok := stranger.answered(); !ok || reasonIn(a.err()) != coordv1.Reason_REASON_SESSION_OVER {
		t.Errorf("at the session's end: %+v, %v", a, ok)
	}
	if _, ok := other.answered(); ok {
		t.Error("another session's end was told")
	}
	h.forget(stranger)
	h.forget(other)
	h.forget(other)
	if len(h.callers) != 0 {
		t.Errorf("left over: %v", h.callers)
	}
}

func TestCallersOfOtherTermsAreReleased(t *testing.T) {
	h := newHub()
	old, present := awaiting(t, h, 1, "a", 5), awaiting(t, h, 1, "a", 6)
	h.release(6, errStopping)
	if _, ok := old.answered(); !ok {
		t.Error("one of an old term waits on")
	}
	if _, ok := present.answered(); ok {
		t.Error("one of this term was released")
	}
	h.close(errStopping)
	if _, ok := present.answered(); !ok {
		t.Error("it outlives the hub")
	}
	if h.await(newCaller(&machine.Call{}, 6)) {
		t.Error("a closed hub takes callers")
	}
}

// Every code that the machine can answer a call with has a reason, and sends nobody back under
// the id whose answer it is; where nothing of the kind will do, under no other either.
func TestOutcomesHaveReasons(t *testing.T) {
	want := map[park.Code]coordv1.Reason{
		park.Busy:      coordv1.Reason_REASON_BUSY,
		park.Over:      coordv1.Reason_REASON_CALL_OVER,
		park.Invalid:   coordv1.Reason_REASON_INVALID,
		park.Mismatch:  coordv1.Reason_REASON_MISMATCH,
		park.Limit:     coordv1.Reason_REASON_LIMIT,
		park.Full:      coordv1.Reason_REASON_LIMIT,
		park.NotFound:  coordv1.Reason_REASON_NOT_FOUND,
		park.TimedOut:  coordv1.Reason_REASON_TIMED_OUT,
		park.Closed:    coordv1.Reason_REASON_CLOSED,
		park.CutShort:  coordv1.Reason_REASON_CUT_SHORT,
		park.Deadlock:  coordv1.Reason_REASON_DEADLOCK,
		park.Forbidden: coordv1.Reason_REASON_FORBIDDEN,
		park.Granted:   coordv1.Reason_REASON_INVALID, // where Done was asked for
		park.Done:      coordv1.Reason_REASON_INVALID,
	}
	nothing := func(park.Object) park.Traits { return park.Traits{} }
	for code := park.Granted; code <= park.Forbidden; code++ {
		for do := machine.DoWait; do <= machine.DoRefuse; do++ {
			err := refusedOutcome("what", &machine.Call{Op: machine.Op{Do: do}}, &outcome{code: code, value: 5}, nothing)
			if got := reasonIn(err); got != want[code] {
				t.Errorf("code %d of op %d has %v, not %v", code, do, got, want[code])
			}
			message := status.Convert(err).Message()
			final := code == park.Closed || code == park.CutShort
			if _, told := want[code]; told && strings.HasSuffix(message, ", under another request_id") == final {
				t.Errorf("code %d of op %d says %q", code, do, message)
			}
		}
	}
}

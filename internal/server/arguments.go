package server

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/internal/telemetry"
)

// What a call of a session without a stream is given if it does not say.
const (
	defaultTTL       = 10 * time.Second
	defaultWaitLimit = 30 * time.Second
)

func ttlOf(req *coordv1.OpenSessionRequest) *durationpb.Duration {
	if nanos(req.GetTtl()) == 0 {
		return durationpb.New(defaultTTL)
	}
	return req.GetTtl()
}

// leaseOf begins a call with whose it is.
func leaseOf(what string, l *coordv1.Lease) (*machine.Call, error) {
	if l.GetSessionId() == 0 {
		return nil, invalid("%s: lease has no session_id; give the lease that OpenSession returned", what)
	}
	if n := len(l.GetSecret()); n != secretLen {
		return nil, invalid("%s: the lease's secret has %d bytes, not %d; give the lease that OpenSession returned",
			what, n, secretLen)
	}
	return &machine.Call{Session: park.SessionID(l.GetSessionId()), Secret: secretOf(l.GetSecret())}, nil
}

// callOf begins a call with whose it is and its request id.
func callOf(what string, l *coordv1.Lease, request string) (*machine.Call, error) {
	c, err := leaseOf(what, l)
	if err != nil {
		return nil, err
	}
	c.Request = request
	return c, checkRequest(what, "request_id", request)
}

// aboutOf is callOf with the id of the call that it is about, which the request has under
// the name of field.
func aboutOf(what string, l *coordv1.Lease, request, field, target string) (*machine.Call, error) {
	c, err := callOf(what, l, request)
	if err != nil {
		return nil, err
	}
	c.Target = target
	return c, checkRequest(what, field, target)
}

func checkRequest(what, field, id string) error {
	switch {
	case id == "" && field == "request_id":
		return invalid("%s: request_id is empty; choose an id for each call, and keep it for its retries", what)
	case id == "":
		return invalid("%s: %s is empty; give the request_id of the call that it is about", what, field)
	}
	if len(id) > session.MaxRequest {
		return invalid("%s: %s has %d bytes, at most %d; shorten it", what, field, len(id), session.MaxRequest)
	}
	return nil
}

func checkName(what, name string) error {
	if park.ValidName(name) {
		return nil
	}
	const rule = "a name has 1 to 256 bytes of UTF-8 and no control characters; correct it"
	switch {
	case name == "":
		return invalid("%s: name is empty; %s", what, rule)
	case len(name) > park.MaxName:
		return invalid("%s: name has %d bytes; %s", what, len(name), rule)
	default:
		return invalid("%s: name is %q; %s", what, name, rule)
	}
}

// checkSize checks how many bytes a field has.
func checkSize(what, field string, n, limit int) error {
	if n > limit {
		return invalid("%s: %s has %d bytes, at most %d; shorten it", what, field, n, limit)
	}
	return nil
}

func checkCount(what, field string, n int64) error {
	if n < 0 {
		return invalid("%s: %s is %d; it must not be negative", what, field, n)
	}
	return nil
}

// within converts a duration that is 0 to limit.
func within(what, field string, d *durationpb.Duration, limit int64) (int64, error) {
	n := nanos(d)
	if n < 0 || n > limit {
		return 0, invalid("%s: %s is %v; choose 0 to %v", what, field, d.AsDuration(), time.Duration(limit))
	}
	return n, nil
}

// A waiting is what the requests of all calls that wait have in common.
type waiting interface {
	GetWaitLimit() *durationpb.Duration
	GetNote() string
}

// A queueing is what those of most have besides: who waits for a signal must have let go.
type queueing interface {
	GetTry() bool
	GetPriority() int32
}

// waitOf converts what calls that wait have in common, on the object of one arm or more.
func waitOf(ctx context.Context, what string, req waiting, delay *durationpb.Duration, arms ...park.Arm) (machine.Op, error) {
	w := machine.Wait{
		Arms: arms, Commit: park.Every,
		Note: req.GetNote(), Trace: string(telemetry.Encode(trace.SpanContextFromContext(ctx))),
	}
	if q, ok := req.(queueing); ok {
		w.Try, w.Prio = q.GetTry(), q.GetPriority()
	}
	if len(arms) == 1 {
		w.Commit = park.Any
	}
	var err error
	if w.Limit, err = within(what, "wait_limit", req.GetWaitLimit(), machine.MaxLimit); err != nil {
		return machine.Op{}, err
	}
	if w.Limit == 0 {
		w.Limit = int64(defaultWaitLimit)
	}
	if w.Delay, err = within(what, "lock_delay", delay, machine.MaxDelay); err != nil {
		return machine.Op{}, err
	}
	if err := checkSize(what, "note", len(w.Note), machine.MaxNote); err != nil {
		return machine.Op{}, err
	}
	return machine.Op{Do: machine.DoWait, Wait: w}, nil
}

// lockArms are the locks of names, sorted, each once.
func lockArms(what string, names []string, shared bool) ([]park.Arm, error) {
	if n := len(names); n == 0 || n > machine.MaxArms {
		return nil, invalid("%s: %d names; give 1 to %d", what, n, machine.MaxArms)
	}
	names = slices.Sorted(slices.Values(names))
	arms := make([]park.Arm, len(names))
	for i, name := range names {
		if err := checkName(what, name); err != nil {
			return nil, err
		}
		if i > 0 && names[i-1] == name {
			return nil, invalid("%s: %s is named twice; name each lock once", what, name)
		}
		arms[i] = park.Arm{On: park.Object{Kind: park.KindLock, Name: name}, Shared: shared, N: 1}
	}
	return arms, nil
}

// about is verb and name for messages, or the verb if the name is not fit for them.
func about(verb, name string) string {
	if !park.ValidName(name) {
		return verb
	}
	return verb + " " + name
}

package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// Bounds of what is asked for at once.
const (
	listDefault    = 100
	listMost       = 1_000
	historyDefault = 20
	historyMost    = 1_000
	explainedHolds = 100 // that expected waits are taken from
	graphDefault   = 1_000
	graphMost      = 4_096 // edges
)

// inspect implements coordv1.InspectServiceServer.
type inspect struct {
	coordv1.UnimplementedInspectServiceServer
	*Server
}

// ListObjects implements coordv1.InspectServiceServer.
func (i *inspect) ListObjects(ctx context.Context, req *coordv1.ListObjectsRequest) (*coordv1.ListObjectsResponse, error) {
	list := &machine.List{Kind: kindOf(req.GetKind()), Prefix: clip(req.GetPrefix(), park.MaxName), Max: int64(req.GetPageSize())}
	if list.Kind == noKind && req.GetKind() != coordv1.Kind_KIND_UNSPECIFIED {
		return nil, invalid("list objects: kind %d is not known to this version; choose another", req.GetKind())
	}
	if list.Max == 0 {
		list.Max = listDefault
	}
	if list.Max < 0 || list.Max > listMost {
		return nil, invalid("list objects: page_size is %d; choose 1 to %d", list.Max, listMost)
	}
	var err error
	if list.After, err = placeOf(req.GetPageToken()); err != nil {
		return nil, err
	}
	result, err := i.read(ctx, "list objects", list)
	if err != nil {
		return nil, err
	}
	objects, ok := result.(machine.ObjectList)
	if !ok {
		return nil, status.Errorf(codes.Internal, "list objects: the machine answered %T", result)
	}
	return objectsOf(objects), nil
}

// A place is where a page ends, as a page token has it: opaque to clients.
type place struct {
	Kind park.Kind
	Name string
}

func placeOf(token string) (park.Object, error) {
	if token == "" {
		return park.Object{}, nil
	}
	var p place
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil || len(p.Name) > park.MaxName {
		return park.Object{}, invalid("list objects: page_token is none of ours; take next_page_token as it was")
	}
	return park.Object(p), nil
}

func objectsOf(list machine.ObjectList) *coordv1.ListObjectsResponse {
	out := &coordv1.ListObjectsResponse{Index: list.Index}
	for k := range list.Objects {
		s := &list.Objects[k]
		summary := &coordv1.ObjectSummary{
			Kind: coordv1.Kind(s.On.Kind), Name: s.On.Name,
			Holders: s.Holders, Waiting: s.Waiting, Limit: s.Traits.Limit, Held: s.Traits.Held,
			State: coordv1.ObjectState(s.Traits.State), Stored: s.Stored,
		}
		if s.Holder != nil {
			summary.Holder = partyOf(s.Holder)
		}
		out.Objects = append(out.Objects, summary)
	}
	if n := len(list.Objects); list.More && n > 0 {
		data, _ := json.Marshal(place(list.Objects[n-1].On)) // of a number and a string
		out.NextPageToken = base64.RawURLEncoding.EncodeToString(data)
	}
	return out
}

// objectOf is the object that a request names.
func objectOf(what string, kind coordv1.Kind, name string) (park.Object, error) {
	on := park.Object{Kind: kindOf(kind), Name: name}
	switch {
	case kind == coordv1.Kind_KIND_UNSPECIFIED:
		return on, invalid("%s: no kind; say which", what)
	case on.Kind == noKind:
		return on, invalid("%s: kind %d is not known to this version; choose another", what, kind)
	case !park.ValidName(name):
		return on, invalid("%s: name is not 1 to %d bytes of UTF-8 without control characters; correct it", what, park.MaxName)
	}
	return on, nil
}

// look reads an object, from the log or with stale from this node's own state.
func (i *inspect) look(ctx context.Context, what string, on park.Object, stale bool) (*machine.Description, error) {
	var d *machine.Description
	if stale {
		d = i.cfg.Replica.describe(on)
	} else {
		var err error
		if d, err = i.describe(ctx, what, on); err != nil {
			return nil, err
		}
	}
	if d.Empty() {
		return nil, Error(coordv1.Reason_REASON_NOT_FOUND,
			fmt.Sprintf("%s %q: there is nothing of that name; list the objects", what, on.Name),
			map[string]string{metaIndex: strconv.FormatUint(d.Index, 10)})
	}
	return d, nil
}

// DescribeObject implements coordv1.InspectServiceServer.
func (i *inspect) DescribeObject(ctx context.Context, req *coordv1.DescribeObjectRequest) (*coordv1.DescribeObjectResponse, error) {
	on, err := objectOf("describe", req.GetKind(), req.GetName())
	if err != nil {
		return nil, err
	}
	d, err := i.look(ctx, "describe", on, req.GetStale())
	if err != nil {
		return nil, err
	}
	return &coordv1.DescribeObjectResponse{Description: descriptionOf(d)}, nil
}

// ExplainObject implements coordv1.InspectServiceServer.
func (i *inspect) ExplainObject(ctx context.Context, req *coordv1.ExplainObjectRequest) (*coordv1.ExplainObjectResponse, error) {
	on, err := objectOf("explain", req.GetKind(), req.GetName())
	if err != nil {
		return nil, err
	}
	d, err := i.look(ctx, "explain", on, false)
	if err != nil {
		return nil, err
	}
	out := &coordv1.ExplainObjectResponse{Description: descriptionOf(d)}
	past := holdTimes(i.cfg.Replica.journal.history(on, explainedHolds))
	if len(past) == 0 {
		return out, nil
	}
	median := past[len(past)/2]
	out.HoldTimes = &coordv1.HoldTimes{
		Count:   int64(len(past)),
		Median:  durationpb.New(median),
		P90:     durationpb.New(past[(9*len(past)-1)/10]),
		Longest: durationpb.New(past[len(past)-1]),
	}
	if !inTurn(on.Kind) {
		return out, nil
	}
	waits := expectedWaits(d, median)
	for _, wait := range waits {
		out.ExpectedWaits = append(out.ExpectedWaits, durationpb.New(wait))
	}
	out.ExpectedWaits, out.ExpectedWaitOfNext = out.ExpectedWaits[:len(waits)-1], out.ExpectedWaits[len(waits)-1]
	return out, nil
}

// inTurn reports whether who waits for an object of the kind gets it when holds of it end, and
// by nothing else.
func inTurn(k park.Kind) bool {
	return k == park.KindLock || k == park.KindSemaphore || k == park.KindElection
}

// holdTimes are how long holds lasted, the shortest first.
func holdTimes(past []keptChange) []time.Duration {
	times := make([]time.Duration, len(past))
	for k := range past {
		times[k] = time.Duration(past[k].Held)
	}
	slices.Sort(times)
	return times
}

// whole is the room of a lock: an exclusive hold fills it, a shared one takes 1 of it.
const whole = math.MaxInt64 / 2

// A claim takes room until it ends.
type claim struct {
	room int64
	end  time.Duration // from now
}

// expectedWaits is how long each waiter that is described will wait yet, and then who would
// come now, if every hold lasts as long as the median: a rule of thumb, which says so.
func expectedWaits(d *machine.Description, median time.Duration) []time.Duration {
	semaphore := d.On.Kind == park.KindSemaphore
	free := int64(whole)
	if semaphore {
		free = d.Limit - d.Held
	}
	var claims []claim
	for k := range d.Holders {
		p := &d.Holders[k]
		c := claim{roomOf(p, semaphore), max(0, median-time.Duration(p.For))}
		if p.Delayed != 0 {
			c.end = time.Duration(p.Delayed)
		}
		if !semaphore {
			free -= c.room
		}
		claims = append(claims, c)
	}
	at := time.Duration(0)
	next := func(room int64) time.Duration {
		for free < room && len(claims) > 0 {
			first := slices.MinFunc(claims, func(a, b claim) int { return cmp.Compare(a.end, b.end) })
			claims = slices.Delete(claims, slices.Index(claims, first), slices.Index(claims, first)+1)
			at, free = max(at, first.end), free+first.room
		}
		free -= room
		claims = append(claims, claim{room, at + median})
		return at
	}
	out := make([]time.Duration, 0, len(d.Waiters)+1)
	for k := range d.Waiters {
		out = append(out, next(roomOf(&d.Waiters[k], semaphore)))
	}
	more := time.Duration(max(0, d.Waiting-int64(len(d.Waiters)))) // not described
	if semaphore {
		return append(out, next(1)+more*median/time.Duration(max(d.Limit, 1)))
	}
	return append(out, next(whole)+more*median)
}

func roomOf(p *machine.Party, semaphore bool) int64 {
	if semaphore || p.Shared {
		return max(p.N, 1)
	}
	return whole
}

// GetHistory implements coordv1.InspectServiceServer.
func (i *inspect) GetHistory(_ context.Context, req *coordv1.GetHistoryRequest) (*coordv1.GetHistoryResponse, error) {
	on, err := objectOf("history", req.GetKind(), req.GetName())
	if err != nil {
		return nil, err
	}
	most := int(req.GetLimit())
	if most == 0 {
		most = historyDefault
	}
	if most < 0 || most > historyMost {
		return nil, invalid("history: limit is %d; choose 1 to %d", most, historyMost)
	}
	out := new(coordv1.GetHistoryResponse)
	past := i.cfg.Replica.journal.history(on, most)
	for k := range past {
		c := &past[k]
		out.Holds = append(out.Holds, &coordv1.PastHold{
			SessionId: uint64(c.ID.Session),
			Who:       whoOf(c.Who),
			Note:      c.Note,
			Value:     c.Value,
			Token:     uint64(c.Token),
			Shared:    c.Shared,
			Count:     c.N,
			Held:      durationOf(c.Held),
			EndReason: coordv1.EndReason(c.Ending),
			Ended:     timestamppb.New(i.cfg.Replica.ended(c)),
			Revision:  c.Revision,
		})
	}
	return out, nil
}

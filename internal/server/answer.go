package server

import (
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// Bounds of one AttachResponse. A frame ends with the outcome that reaches one of them.
const (
	frameOutcomes = 4096
	frameBytes    = 256 << 10
)

// Estimates of what an outcome takes in an outbox and on the wire.
const (
	outcomeBytes = 48
	partyBytes   = 96
	entryBytes   = 32
)

// outcome is a machine.Event of a call without what only other events have: a quarter of
// its size, for outboxes that may hold many.
type outcome struct {
	seq         park.Seq
	token       park.Token
	value       int64
	description *machine.Description
	entries     *machine.Entries
	cycle       []machine.CycleWait
	waitedFor   string
	data        string
	arm         uint32
	code        park.Code
}

func outcomeFrom(e *machine.Event) outcome {
	return outcome{
		seq: e.Seq, code: e.Code, token: e.Token,
		arm: uint32(e.Arm), value: e.Value, description: e.Description, waitedFor: e.Waited,
		data: e.Data, entries: e.Entries, cycle: e.Cycle,
	}
}

// size estimates bytes.
func (o *outcome) size() int {
	n := outcomeBytes + len(o.data)
	for i := range o.cycle {
		n += partyBytes*(1+len(o.cycle[i].Holds)) + len(o.cycle[i].Who) + len(o.cycle[i].Note)
	}
	if o.entries != nil {
		for _, p := range o.entries.Pairs {
			n += len(p.Key) + len(p.Value) + entryBytes
		}
	}
	if d := o.description; d != nil {
		n += sizeOf(d.Holders) + sizeOf(d.Waiters)
	}
	return n
}

func sizeOf(parties []machine.Party) int {
	n := 0
	for i := range parties {
		n += partyBytes + len(parties[i].Who) + len(parties[i].Note) + len(parties[i].Value)
	}
	return n
}

// attachedOf answers an Attach.
func attachedOf(e *machine.Event, node string) *coordv1.AttachResponse {
	replaced := make([]*coordv1.Outcome, len(e.Replaced))
	for i, o := range e.Replaced {
		replaced[i] = &coordv1.Outcome{
			Seq:   uint64(o.Seq),
			Code:  coordv1.Code(o.Code),
			Arm:   uint32(o.Arm),
			Value: o.Value,
			Data:  bytesOf(o.Data),
		}
	}
	return &coordv1.AttachResponse{Frame: &coordv1.AttachResponse_Attached{Attached: &coordv1.Attached{
		SessionId:       uint64(e.Session),
		LastSeq:         uint64(e.Last),
		ReplacedLastSeq: uint64(e.ReplacedLast),
		Replaced:        replaced,
		ReplacedGone:    e.ReplacedGone,
		Node:            node,
	}}}
}

// outcomesOf converts the first of batch, as many as a frame may hold, and returns the
// rest. gRPC may keep a message that was sent, so nothing of it is used again; but all
// its outcomes are one allocation.
func outcomesOf(batch []outcome) (*coordv1.AttachResponse, []outcome) {
	n, size := 0, 0
	for n < len(batch) && n < frameOutcomes && size < frameBytes {
		size += batch[n].size()
		n++
	}
	slab := make([]coordv1.Outcome, n)
	out := make([]*coordv1.Outcome, n)
	for i := range slab {
		from, to := &batch[i], &slab[i]
		to.Seq, to.Code, to.Token = uint64(from.seq), coordv1.Code(from.code), uint64(from.token)
		to.Arm, to.Value = from.arm, from.value
		if from.description != nil {
			to.Description = descriptionOf(from.description)
		}
		to.WaitedFor, to.Data = bytesOf(from.waitedFor), bytesOf(from.data)
		for i := range from.cycle {
			to.Cycle = append(to.Cycle, cycleWaitOf(&from.cycle[i]))
		}
		if from.entries != nil {
			to.Entries = entriesOf(from.entries)
		}
		out[i] = to
	}
	return &coordv1.AttachResponse{Frame: &coordv1.AttachResponse_Outcomes{
		Outcomes: &coordv1.Outcomes{Outcomes: out},
	}}, batch[n:]
}

func bytesOf(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func cycleWaitOf(w *machine.CycleWait) *coordv1.CycleWait {
	out := &coordv1.CycleWait{
		SessionId: uint64(w.ID.Session), Who: whoOf(w.Who), Note: w.Note, Wants: refOf(w.Wants), Skipped: int64(w.Skipped),
	}
	for _, r := range w.Holds {
		out.Holds = append(out.Holds, refOf(r))
	}
	return out
}

func refOf(r machine.Ref) *coordv1.Ref {
	return &coordv1.Ref{Kind: coordv1.Kind(r.On.Kind), Name: r.On.Name, Site: r.Site}
}

func entriesOf(e *machine.Entries) *coordv1.MapEntries {
	out := &coordv1.MapEntries{Revision: e.Revision, Entries: make([]*coordv1.MapEntry, len(e.Pairs))}
	for i, p := range e.Pairs {
		out.Entries[i] = &coordv1.MapEntry{Key: []byte(p.Key), Value: bytesOf(p.Value), Revision: p.Revision}
	}
	return out
}

func descriptionOf(d *machine.Description) *coordv1.Description {
	return &coordv1.Description{
		Kind:    coordv1.Kind(d.On.Kind),
		Name:    d.On.Name,
		Index:   d.Index,
		Holders: partiesOf(d.Holders),
		Waiters: partiesOf(d.Waiters),
		Waiting: d.Waiting,
		Limit:   d.Limit,
		Held:    d.Held,

		Revision:       d.Revision,
		Unacknowledged: d.Unacked,
		Bytes:          d.Bytes,
		Codec:          d.Codec,
		State:          coordv1.ObjectState(d.State),
		Stored:         d.Stored,
	}
}

func partiesOf(in []machine.Party) []*coordv1.Party {
	out := make([]*coordv1.Party, len(in))
	for i := range in {
		out[i] = partyOf(&in[i])
	}
	return out
}

func partyOf(p *machine.Party) *coordv1.Party {
	out := &coordv1.Party{
		SessionId: uint64(p.Session),
		Who:       whoOf(p.Who),
		Note:      p.Note,
		Token:     uint64(p.Token),
		Shared:    p.Shared,
		Count:     p.N,
		For:       durationOf(p.For),
		Value:     p.Value,
		Priority:  p.Prio,
		Renewed:   durationOf(p.Renewed),
		Ttl:       durationOf(p.TTL),
		TraceId:   traceID(p.Trace),
		Side:      coordv1.Side(p.Side),
	}
	if p.Delayed != 0 {
		out.Delayed = durationOf(p.Delayed)
	}
	return out
}

// traceID is the trace's own part of what a hold carries, as people write it.
func traceID(trace string) string {
	if len(trace) != traceLen {
		return ""
	}
	return hex.EncodeToString([]byte(trace[:16]))
}

// whoOf decodes what openingOf encoded. The log may hold what another version wrote:
// then nobody is named.
func whoOf(who string) *coordv1.Who {
	if who == "" {
		return nil
	}
	out := new(coordv1.Who)
	if err := proto.Unmarshal([]byte(who), out); err != nil {
		return nil
	}
	return out
}

func durationOf(nanos int64) *durationpb.Duration { return durationpb.New(time.Duration(nanos)) }

func sessionsOf(list machine.SessionList) *coordv1.ListSessionsResponse {
	out := &coordv1.ListSessionsResponse{
		Index:    list.Index,
		Sessions: make([]*coordv1.Session, len(list.Sessions)),
	}
	for i := range list.Sessions {
		s := &list.Sessions[i]
		out.Sessions[i] = &coordv1.Session{
			SessionId: uint64(s.ID),
			Who:       whoOf(s.Who),
			Ttl:       durationOf(s.TTL),
			Remaining: durationOf(s.Remaining),
			Holds:     s.Holds,
			Waits:     s.Waits,
			Revoked:   s.Revoked,
		}
	}
	return out
}

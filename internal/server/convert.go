package server

import (
	"crypto/sha256"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/channel"
	"coordd.dev/election"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/latch"
	"coordd.dev/raftstore"
	"coordd.dev/table"
)

// Bounds of a call or frame. The machine's own limits of an argument are its to enforce.
const (
	maxOps    = 16 << 10          // of a frame
	maxRanges = machine.MaxWanted // each of one seq
	secretLen = 16
	traceLen  = 25 // trace id, span id, flags
)

// The values that stand for what the wire says and this version does not know.
const (
	noKind   park.Kind   = 0
	noCommit park.Commit = 255
	noSide   park.Side   = 255
)

// attachOf converts an Attach frame, or says what is wrong with it.
func attachOf(a *coordv1.Attach) (*machine.Attach, error) {
	out := &machine.Attach{
		Session:        park.SessionID(a.GetSessionId()),
		Instance:       a.GetInstance(),
		Epoch:          a.GetEpoch(),
		Replaces:       park.SessionID(a.GetReplacesId()),
		Secret:         secretOf(a.GetSecret()),
		ReplacesSecret: secretOf(a.GetReplacesSecret()),
	}
	if n := len(a.GetSecret()); n != secretLen {
		return nil, invalid("attach: secret has %d bytes, not %d; draw it at random", n, secretLen)
	}
	if out.Instance == 0 {
		return nil, invalid("attach: instance is 0; draw it at random")
	}
	if out.Epoch == 0 {
		return nil, invalid("attach: epoch is 0; begin with 1 and raise it with each Attach")
	}
	if out.Session != 0 && out.Replaces != 0 {
		return nil, invalid("attach: it takes one session up and replaces another; do one of them")
	}
	if n := len(a.GetReplacesSecret()); out.Replaces != 0 && n != secretLen {
		return nil, invalid("attach: replaces_secret has %d bytes, not %d; give the session's", n, secretLen)
	}
	var err error
	if out.Wanted, err = rangesOf("wanted", a.GetWanted()); err != nil {
		return nil, err
	}
	if out.Session == 0 {
		err = openingOf(a, out)
	}
	return out, err
}

// openingOf converts what only a new session has.
func openingOf(a *coordv1.Attach, out *machine.Attach) error {
	var err error
	out.TTL, out.Who, err = termsOf("attach", a.GetTtl(), a.GetWho())
	return err
}

// termsOf converts what a new session is.
func termsOf(what string, lease *durationpb.Duration, who *coordv1.Who) (ttl int64, encoded string, err error) {
	ttl = nanos(lease)
	if ttl < machine.MinTTL || ttl > machine.MaxTTL {
		return 0, "", invalid("%s: ttl is %v; choose %v to %v", what, lease.AsDuration(),
			time.Duration(machine.MinTTL), time.Duration(machine.MaxTTL))
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(who)
	if err != nil {
		return 0, "", invalid("%s: who: %v; correct it", what, err)
	}
	if len(b) > machine.MaxWho {
		return 0, "", invalid("%s: who has %d bytes, at most %d may be kept; shorten it", what, len(b), machine.MaxWho)
	}
	return ttl, string(b), nil
}

// secretOf is what the log knows of a secret.
func secretOf(secret []byte) machine.Secret {
	sum := sha256.Sum256(secret)
	return machine.Secret(sum[:len(machine.Secret{})])
}

func rangesOf(field string, in []*coordv1.SeqRange) ([]machine.Range, error) {
	if len(in) == 0 {
		return nil, nil
	}
	if len(in) > maxRanges {
		return nil, invalid("%s: %d ranges, at most %d; join neighbours", field, len(in), maxRanges)
	}
	out := make([]machine.Range, len(in))
	last := uint64(0)
	for i, r := range in {
		first, end := r.GetFirst(), r.GetLast()
		if first <= last || end < first {
			return nil, invalid("%s: range %d to %d is empty or not after %d; sort and join them",
				field, first, end, last)
		}
		out[i], last = machine.Range{First: park.Seq(first), Last: park.Seq(end)}, end
	}
	return out, nil
}

// frameOf converts the ops of a session's stream. Only what would make the whole frame
// unintelligible is an error here.
func frameOf(session park.SessionID, epoch uint64, in *coordv1.Ops) (*machine.Frame, error) {
	if n := len(in.GetOps()); n > maxOps {
		return nil, invalid("frame: %d ops, at most %d; send the rest in another", n, maxOps)
	}
	acked, err := rangesOf("acknowledged", in.GetAcknowledged())
	if err != nil {
		return nil, err
	}
	out := &machine.Frame{Session: session, Epoch: epoch, Acked: acked}
	if len(in.GetOps()) == 0 {
		return out, nil
	}
	arms := make([]park.Arm, 0, countArms(in.GetOps())) // one allocation for all ops
	out.Ops = make([]machine.Op, len(in.GetOps()))
	for i, op := range in.GetOps() {
		arms = convertOp(&out.Ops[i], op, arms)
	}
	return out, nil
}

func countArms(ops []*coordv1.Op) int {
	n := 0
	for _, op := range ops {
		n += min(len(op.GetWait().GetArms()), machine.MaxArms+1)
		if op.GetCondWait() != nil {
			n++
		}
	}
	return n
}

// convertOp fills out from in. The arms of a Wait are appended to arms.
func convertOp(out *machine.Op, in *coordv1.Op, arms []park.Arm) []park.Arm {
	out.Seq = park.Seq(in.GetSeq())
	switch op := in.GetOp().(type) {
	case *coordv1.Op_Wait:
		out.Do = machine.DoWait
		start := len(arms)
		arms = appendArms(arms, op.Wait.GetArms())
		convertWait(&out.Wait, op.Wait)
		out.Wait.Arms = arms[start:len(arms):len(arms)]
	case *coordv1.Op_End:
		out.Do, out.To = machine.DoEnd, park.Seq(op.End.GetTarget())
	case *coordv1.Op_Release:
		out.Do, out.To, out.N = machine.DoRelease, park.Seq(op.Release.GetTarget()), op.Release.GetCount()
	case *coordv1.Op_Resize:
		out.Do, out.N = machine.DoResize, op.Resize.GetLimit()
		out.On = named(park.KindSemaphore, op.Resize.GetName())
	case *coordv1.Op_Describe:
		out.Do, out.On = machine.DoDescribe, named(kindOf(op.Describe.GetKind()), op.Describe.GetName())
	case *coordv1.Op_Proclaim:
		out.Do, out.To = machine.DoProclaim, park.Seq(op.Proclaim.GetTarget())
		out.Value = clip(op.Proclaim.GetValue(), election.MaxValue)
	case *coordv1.Op_Transfer:
		out.Do, out.To = machine.DoTransfer, park.Seq(op.Transfer.GetTarget())
		out.Heir = park.SessionID(op.Transfer.GetToSessionId())
	case *coordv1.Op_Add:
		out.Do, out.N = machine.DoAdd, op.Add.GetDelta()
		out.On = named(park.KindWaitGroup, op.Add.GetName())
	case *coordv1.Op_Complete:
		out.Do, out.To = machine.DoComplete, park.Seq(op.Complete.GetTarget())
		out.Value, out.N = clipBytes(op.Complete.GetResult(), latch.MaxResult), int64(op.Complete.GetEnd())
	case *coordv1.Op_Acknowledge:
		out.Do, out.To = machine.DoAck, park.Seq(op.Acknowledge.GetTarget())
	case *coordv1.Op_CloseChannel:
		out.Do, out.N = machine.DoClose, op.CloseChannel.GetCapacity()
		out.On = named(park.KindChan, op.CloseChannel.GetName())
		out.Codec = clip(op.CloseChannel.GetCodec(), channel.MaxCodec)
	case *coordv1.Op_CondWait:
		arms = convertCondWait(out, op.CondWait, arms)
	case *coordv1.Op_Signal:
		out.Do, out.N = machine.DoSignal, 1
		if op.Signal.GetAll() {
			out.N = math.MaxInt64
		}
		out.On = named(park.KindCond, op.Signal.GetName())
	case *coordv1.Op_MapOp:
		out.Do, out.On = machine.DoTable, named(park.KindMap, op.MapOp.GetName())
		out.Table = tableOf(op.MapOp)
	case *coordv1.Op_Delete:
		out.Do, out.On = machine.DoDelete, named(kindOf(op.Delete.GetKind()), op.Delete.GetName())
	case *coordv1.Op_Noop:
		out.Do = machine.DoNoop
	case *coordv1.Op_Leave:
		out.Do = machine.DoLeave
	default:
		// A later version's op, or none. Its seq must be spent and its answer be
		// INVALID: that is what resizing nothing to nothing gets.
		out.Do = machine.DoResize
	}
	return arms
}

func named(kind park.Kind, name string) park.Object {
	return park.Object{Kind: kind, Name: clip(name, park.MaxName)}
}

// convertCondWait makes the arm of a cond, which has its lock as value.
func convertCondWait(out *machine.Op, in *coordv1.CondWait, arms []park.Arm) []park.Arm {
	out.Do, out.To = machine.DoAwait, park.Seq(in.GetTarget())
	arms = append(arms, park.Arm{
		On: named(park.KindCond, in.GetName()), N: 1, Value: clip(in.GetLock(), park.MaxName),
	})
	out.Wait = machine.Wait{
		Arms: arms[len(arms)-1 : len(arms) : len(arms)], Commit: park.Any,
		Limit: nanos(in.GetWaitLimit()), Note: clip(in.GetNote(), machine.MaxNote), Trace: traceOf(in.GetTrace()),
		Lineage: lineageOf(in.GetLineage(), in.GetSite()),
	}
	return arms
}

func tableOf(in *coordv1.MapOp) *table.Op {
	verb := in.GetVerb()
	if verb < 0 || verb > math.MaxUint8 {
		verb = coordv1.MapVerb_MAP_VERB_UNSPECIFIED
	}
	return &table.Op{
		Verb: table.Verb(verb), Key: clipBytes(in.GetKey(), table.MaxKey), Value: clipBytes(in.GetValue(), table.MaxValue),
		Old: clipBytes(in.GetOld(), table.MaxValue), Codec: clip(in.GetCodec(), table.MaxCodec),
	}
}

func convertWait(out *machine.Wait, in *coordv1.Wait) {
	out.Commit = commitOf(in.GetCommit())
	out.Try = in.GetTry()
	out.Prio = in.GetPriority()
	out.Delay = nanos(in.GetLockDelay())
	out.Limit = nanos(in.GetWaitLimit())
	out.Note = clip(in.GetNote(), machine.MaxNote)
	out.Trace = traceOf(in.GetTrace())
	out.Lineage = lineageOf(in.GetLineage(), in.GetSite())
}

// lineageOf is what a wait is made under, nil if nothing. Where a program's file is too far
// down the end of its name says most.
func lineageOf(holds []*coordv1.NamedHold, site string) *park.Lineage {
	if len(holds) == 0 {
		return nil
	}
	out := &park.Lineage{Site: tail(site), Holds: make([]park.Named, 0, min(len(holds), park.MaxLineage+1))}
	for _, h := range holds[:min(len(holds), park.MaxLineage+1)] {
		out.Holds = append(out.Holds, park.Named{
			ID:   park.ID{Session: park.SessionID(h.GetSessionId()), Seq: park.Seq(h.GetSeq())},
			Site: tail(h.GetSite()),
		})
	}
	return out
}

// tail is the end of a site that may be kept.
func tail(site string) string {
	return strings.ToValidUTF8(site[len(site)-min(len(site), park.MaxSite):], "")
}

// traceOf takes no trace for one that it does not understand: it is not worth a refusal.
func traceOf(trace []byte) string {
	if len(trace) != traceLen {
		return ""
	}
	return string(trace)
}

func appendArms(arms []park.Arm, in []*coordv1.Arm) []park.Arm {
	for _, arm := range in[:min(len(in), machine.MaxArms+1)] {
		n := arm.GetCount()
		kind := kindOf(arm.GetKind())
		if kind != park.KindSemaphore && n == 0 {
			n = 1 // the wire has no count of locks and leaderships
		}
		arms = append(arms, park.Arm{
			On:     named(kind, arm.GetName()),
			Side:   sideOf(arm.GetSide()),
			Shared: arm.GetShared(),
			Ack:    arm.GetAcknowledge(),
			N:      n,
			Limit:  arm.GetLimit(),
			Value:  valueOf(kind, arm),
			Codec:  clip(arm.GetCodec(), channel.MaxCodec),
		})
	}
	return arms
}

// valueOf is what a candidate has as value, and what is sent.
func valueOf(kind park.Kind, arm *coordv1.Arm) string {
	if kind == park.KindChan {
		return clipBytes(arm.GetElement(), channel.MaxElement)
	}
	return clip(arm.GetValue(), election.MaxValue)
}

func sideOf(s coordv1.Side) park.Side {
	switch s {
	case coordv1.Side_SIDE_UNSPECIFIED:
		return park.Alone
	case coordv1.Side_SIDE_SEND:
		return park.Send
	case coordv1.Side_SIDE_RECEIVE:
		return park.Recv
	default:
		return noSide
	}
}

// urgencyOf a frame all of whose ops are urgent.
func urgencyOf(f *machine.Frame) raftstore.Urgency {
	for i := range f.Ops {
		if urgencyOfOp(&f.Ops[i]) == raftstore.Ordinary {
			return raftstore.Ordinary
		}
	}
	return raftstore.Urgent
}

// urgencyOfOp says whether an op may be refused for load: not if it lets go, or takes nothing
// (SEMANTICS H1).
func urgencyOfOp(op *machine.Op) raftstore.Urgency {
	switch op.Do {
	case machine.DoEnd, machine.DoRelease, machine.DoNoop, machine.DoLeave, machine.DoAck, machine.DoClose:
		return raftstore.Urgent
	case machine.DoAdd:
		if op.N <= 0 {
			return raftstore.Urgent
		}
	default:
	}
	return raftstore.Ordinary
}

func kindOf(k coordv1.Kind) park.Kind {
	if k <= coordv1.Kind_KIND_UNSPECIFIED || k > coordv1.Kind_KIND_CHAN {
		return noKind
	}
	return park.Kind(k) // the values are the wire's
}

func commitOf(c coordv1.Commit) park.Commit {
	switch c {
	case coordv1.Commit_COMMIT_UNSPECIFIED, coordv1.Commit_COMMIT_ANY:
		return park.Any
	case coordv1.Commit_COMMIT_FIRST:
		return park.First
	case coordv1.Commit_COMMIT_ALL:
		return park.Every
	default:
		return noCommit
	}
}

// clip cuts s off one byte past limit: still too long for the machine, which refuses it,
// but cheap in the log. It never copies.
func clip(s string, limit int) string { return s[:min(len(s), limit+1)] }

// clipBytes is clip of bytes, which it copies.
func clipBytes(b []byte, limit int) string { return string(b[:min(len(b), limit+1)]) }

// nanos is -1, which no field allows, for what is no duration.
func nanos(d *durationpb.Duration) int64 {
	if d == nil {
		return 0
	}
	if !d.IsValid() {
		return -1
	}
	return int64(d.AsDuration())
}

package client

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// maxFrameBytes is half of what the server takes in a message.
const maxFrameBytes = 512 << 10

func (k *courier) attachOf(a lessee.Attach) *coordv1.Attach {
	out := &coordv1.Attach{
		SessionId: a.Session,
		Secret:    a.Secret[:],
		Instance:  k.instance,
		Epoch:     a.Epoch,
		Wanted:    seqRanges(a.Wanted),
	}
	if a.Session == 0 {
		out.Ttl = durationpb.New(k.cfg.ttl)
		out.Who = &coordv1.Who{Name: k.cfg.name, Metadata: k.cfg.metadata}
	}
	if a.Replaces != 0 {
		out.ReplacesId = a.Replaces
		out.ReplacesSecret = a.ReplacesSecret[:]
	}
	return out
}

func attachedFrom(a *coordv1.Attached) lessee.Attached {
	out := lessee.Attached{
		Session:      a.GetSessionId(),
		Last:         a.GetLastSeq(),
		ReplacedLast: a.GetReplacedLastSeq(),
		ReplacedGone: a.GetReplacedGone(),
	}
	for _, o := range a.GetReplaced() {
		out.Replaced = append(out.Replaced, lessee.Answer{Seq: o.GetSeq(), Verdict: verdict(o.GetCode()), Body: o})
	}
	return out
}

func seqRanges(rs []lessee.Range) []*coordv1.SeqRange {
	out := make([]*coordv1.SeqRange, 0, len(rs))
	for _, r := range rs {
		out = append(out, &coordv1.SeqRange{First: r.First, Last: r.Last})
	}
	return out
}

func appendAnswers(to []lessee.Answer, o *coordv1.Outcomes) []lessee.Answer {
	for _, o := range o.GetOutcomes() {
		to = append(to, lessee.Answer{Seq: o.GetSeq(), Verdict: verdict(o.GetCode()), Body: o})
	}
	return to
}

// endOp is an End in one piece of memory.
type endOp struct {
	op  coordv1.Op
	of  coordv1.Op_End
	end coordv1.End
}

// requestsOf is a frame as messages, each of a size that the server takes: mostly one.
func requestsOf(f lessee.Frame) []*coordv1.AttachRequest {
	ends := make([]endOp, countEnds(f.Ops))
	ops := make([]*coordv1.Op, 0, len(f.Ops))
	for i := range f.Ops {
		var op *coordv1.Op
		if f.Ops[i].Do == lessee.DoEnd {
			e := &ends[0]
			ends = ends[1:]
			e.end.Target = f.Ops[i].Target
			e.of.End = &e.end
			e.op.Op = &e.of
			op = &e.op
		} else {
			op = opOf(&f.Ops[i])
		}
		op.Seq = f.Ops[i].Seq
		ops = append(ops, op)
	}
	reqs := make([]*coordv1.AttachRequest, 0, 1)
	acks := seqRanges(f.Acks)
	for {
		n := fit(ops)
		reqs = append(reqs, &coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Ops{
			Ops: &coordv1.Ops{Ops: ops[:n], Acknowledged: acks},
		}})
		acks, ops = nil, ops[n:]
		if len(ops) == 0 {
			return reqs
		}
	}
}

func countEnds(ops []lessee.Op) int {
	n := 0
	for i := range ops {
		if ops[i].Do == lessee.DoEnd {
			n++
		}
	}
	return n
}

// opOf is the wire's op without its seq. A body is the op that its call was started
// with, and only the one stream of the session ever touches it.
func opOf(op *lessee.Op) *coordv1.Op {
	switch op.Do {
	case lessee.DoNoop:
		return &coordv1.Op{Op: &coordv1.Op_Noop{Noop: &coordv1.Noop{}}}
	case lessee.DoLeave:
		return &coordv1.Op{Op: &coordv1.Op_Leave{Leave: &coordv1.Leave{}}}
	case lessee.DoEnd:
		return &coordv1.Op{Op: &coordv1.Op_End{End: &coordv1.End{Target: op.Target}}}
	case lessee.DoBody:
	}
	out := op.Body.(*coordv1.Op)
	switch about := out.GetOp().(type) { // the changes about a hold
	case *coordv1.Op_Release:
		about.Release.Target = op.Target
	case *coordv1.Op_Proclaim:
		about.Proclaim.Target = op.Target
	case *coordv1.Op_Transfer:
		about.Transfer.Target = op.Target
	case *coordv1.Op_Complete:
		about.Complete.Target = op.Target
	case *coordv1.Op_Acknowledge:
		about.Acknowledge.Target = op.Target
	case *coordv1.Op_CondWait:
		about.CondWait.Target = op.Target
	}
	return out
}

// fit is how many of the ops go into one message: one at least.
func fit(ops []*coordv1.Op) int {
	size := 0
	for i, op := range ops {
		if size += proto.Size(op) + 8; size > maxFrameBytes && i > 0 {
			return i
		}
	}
	return len(ops)
}

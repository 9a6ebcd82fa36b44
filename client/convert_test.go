package client

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"coordd.dev/internal/lessee"
)

// A frame is cut into messages that the server takes, in order, and nothing is left out.
func TestLargeFrames(t *testing.T) {
	f := lessee.Frame{Acks: []lessee.Range{{First: 1, Last: 9}}}
	note := handleConfig{note: strings.Repeat("n", maxMetadata)}
	for seq := uint64(10); seq < 10+maxFrameOps; seq++ {
		op := lessee.Op{Seq: seq, Do: lessee.DoEnd, Target: 1}
		if seq%2 == 0 {
			op = lessee.Op{Seq: seq, Do: lessee.DoBody, Body: lockWant(strings.Repeat("x", maxName), false, note).op(false, nil)}
		}
		f.Ops = append(f.Ops, op)
	}
	reqs := requestsOf(f)
	next := uint64(10)
	for i, req := range reqs {
		if size := proto.Size(req); size > 1<<20 {
			t.Errorf("message %d has %d bytes", i, size)
		}
		if acked := len(req.GetOps().GetAcknowledged()); (acked == 1) != (i == 0) {
			t.Errorf("message %d acknowledges %d ranges", i, acked)
		}
		for _, op := range req.GetOps().GetOps() {
			if op.GetSeq() != next || (op.GetEnd().GetTarget() == 1) != (next%2 == 1) {
				t.Fatalf("%v instead of %d", op, next)
			}
			next++
		}
	}
	if next != 10+maxFrameOps || len(reqs) < 4 {
		t.Errorf("%d messages up to %d", len(reqs), next)
	}
	if reqs := requestsOf(lessee.Frame{Acks: f.Acks}); len(reqs) != 1 {
		t.Errorf("%d messages of acknowledgements alone", len(reqs))
	}
}

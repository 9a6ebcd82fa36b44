package client

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// A frame is cut into messages that the server takes, in order, and nothing is left out.
func TestLargeFrames(t *testing.T) {
	f := lessee.Frame{Acks: []lessee.Range{{First: 1, Last: 9}}}
	note := handleConfig{note: strings.Repeat("n", maxMetadata)}
	for seq := uint64(10); seq < 10+maxFrameOps; seq++ {
		op := lessee.Op{Seq: seq, Do: lessee.DoEnd, Target: 1}
		if seq%2 == 0 {
			op = lessee.Op{Seq: seq, Do: lessee.DoBody, Body: lockWant(strings.Repeat("x", maxName), false, note).op(false, &origin{})}
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

// A Holder has all that is said of it.
func TestHoldersFrom(t *testing.T) {
	who := &coordv1.Who{Name: "billing", Metadata: map[string]string{"host": "host-a"}}
	got := holdersFrom([]*coordv1.Party{{
		SessionId: 42, Who: who, Note: "nightly", Token: 7, Shared: true, Count: 3,
		For: durationpb.New(time.Minute), TraceId: "0af7651916cd43dd8448eb211c80319c",
	}})
	want := Holder{
		Session: "000000000000002a", Name: "billing", Metadata: who.GetMetadata(), Note: "nightly", Token: 7,
		Shared: true, Count: 3, For: time.Minute, TraceID: "0af7651916cd43dd8448eb211c80319c",
	}
	if d := cmp.Diff([]Holder{want}, got); d != "" {
		t.Error(d)
	}
}

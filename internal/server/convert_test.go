package server

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
	"coordd.dev/table"
)

// The shell converts by number: names must agree, and none may be missing on the wire.
func TestEnumsAgree(t *testing.T) {
	equal(t, coordv1.Code_name, map[string]park.Code{
		"CODE_GRANTED": park.Granted, "CODE_DONE": park.Done, "CODE_BUSY": park.Busy,
		"CODE_OVER": park.Over, "CODE_INVALID": park.Invalid, "CODE_MISMATCH": park.Mismatch,
		"CODE_LIMIT": park.Limit, "CODE_FULL": park.Full, "CODE_NOT_FOUND": park.NotFound,
		"CODE_TIMED_OUT": park.TimedOut, "CODE_RECALLED": park.Recalled,
		"CODE_REVOKED": park.Revoked, "CODE_ENDED": park.Ended,
		"CODE_CLOSED": park.Closed, "CODE_CUT_SHORT": park.CutShort, "CODE_DEADLOCK": park.Deadlock,
		"CODE_FORBIDDEN": park.Forbidden,
	})
	equal(t, coordv1.Kind_name, map[string]park.Kind{
		"KIND_LOCK": park.KindLock, "KIND_SEMAPHORE": park.KindSemaphore, "KIND_ELECTION": park.KindElection,
		"KIND_WAIT_GROUP": park.KindWaitGroup, "KIND_ONCE": park.KindOnce, "KIND_COND": park.KindCond,
		"KIND_MAP": park.KindMap, "KIND_CHAN": park.KindChan,
	})
	equal(t, coordv1.EndReason_name, map[string]machine.Ending{
		"END_REASON_RELEASED": machine.EndReleased, "END_REASON_EXPIRED": machine.EndExpired,
		"END_REASON_REPLACED": machine.EndReplaced, "END_REASON_REVOKED": machine.EndRevoked,
		"END_REASON_LEFT": machine.EndLeft, "END_REASON_TRANSFERRED": machine.EndTransferred,
		"END_REASON_DELAY_OVER": machine.EndDelayOver, "END_REASON_ACKNOWLEDGED": machine.EndAcked,
		"END_REASON_COMPLETED": machine.EndCompleted,
	})
	equal(t, coordv1.ChangeType_name, map[string]machine.ChangeType{
		"CHANGE_TYPE_GRANTED": machine.ChangeGranted, "CHANGE_TYPE_ENDED": machine.ChangeEnded,
		"CHANGE_TYPE_DELAYED": machine.ChangeDelayed, "CHANGE_TYPE_PROCLAIMED": machine.ChangeProclaimed,
		"CHANGE_TYPE_RESIZED": machine.ChangeResized, "CHANGE_TYPE_STORED": machine.ChangeStored,
		"CHANGE_TYPE_DELETED": machine.ChangeDeleted, "CHANGE_TYPE_CLOSED": machine.ChangeClosed,
		"CHANGE_TYPE_CUT": machine.ChangeCut, "CHANGE_TYPE_REMOVED": machine.ChangeRemoved,
	})
	equal(t, coordv1.Side_name, map[string]park.Side{"SIDE_SEND": park.Send, "SIDE_RECEIVE": park.Recv})
	equal(t, coordv1.MapVerb_name, map[string]table.Verb{
		"MAP_VERB_LOAD": table.Load, "MAP_VERB_STORE": table.Store, "MAP_VERB_LOAD_OR_STORE": table.LoadOrStore,
		"MAP_VERB_LOAD_AND_DELETE": table.LoadAndDelete, "MAP_VERB_DELETE": table.Delete, "MAP_VERB_SWAP": table.Swap,
		"MAP_VERB_COMPARE_AND_SWAP": table.CompareAndSwap, "MAP_VERB_COMPARE_AND_DELETE": table.CompareAndDelete,
		"MAP_VERB_CLEAR": table.Clear, "MAP_VERB_RANGE": table.Range,
	})
	equal(t, coordv1.ObjectState_name, map[string]park.State{
		"OBJECT_STATE_CHANNEL_CLOSED": park.ChannelClosed, "OBJECT_STATE_ONCE_DONE": park.OnceDone,
		"OBJECT_STATE_ONCE_PANICKED": park.OncePanicked, "OBJECT_STATE_GROUP_CUT": park.GroupCut,
	})
	equal(t, coordv1.Commit_name, map[string]park.Commit{
		"COMMIT_ANY": park.Any, "COMMIT_FIRST": park.First, "COMMIT_ALL": park.Every,
	})
	equal(t, coordv1.Renewal_name, map[string]machine.Renewal{
		"RENEWAL_RENEWED": machine.Renewed, "RENEWAL_OVER": machine.RenewalOver,
		"RENEWAL_REVOKED": machine.RenewalRevoked,
	})
	for kind := coordv1.Kind_KIND_LOCK; kind <= coordv1.Kind_KIND_CHAN; kind++ {
		if coordv1.Kind(kindOf(kind)) != kind {
			t.Errorf("%v becomes %v", kind, kindOf(kind))
		}
	}
	if kindOf(-1) != noKind || kindOf(coordv1.Kind_KIND_CHAN+1) != noKind || kindOf(1<<8+1) != noKind {
		t.Error("there are kinds that are not")
	}
	for _, c := range []coordv1.Commit{coordv1.Commit_COMMIT_ANY, coordv1.Commit_COMMIT_FIRST, coordv1.Commit_COMMIT_ALL} {
		if coordv1.Commit(commitOf(c)) != c {
			t.Errorf("%v becomes %v", c, commitOf(c))
		}
	}
}

func equal[E ~uint8](t *testing.T, wire map[int32]string, ours map[string]E) {
	t.Helper()
	got := make(map[string]E)
	for number, name := range wire {
		if number != 0 {
			got[name] = E(number) //nolint:gosec // few
		}
	}
	if diff := cmp.Diff(got, ours); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalsHaveReasons(t *testing.T) {
	want := map[machine.Refusal]string{
		machine.RefusedOver: "SESSION_OVER", machine.RefusedNotYours: "NOT_YOURS",
		machine.RefusedOldEpoch: "OLD_EPOCH", machine.RefusedGap: "GAP",
		machine.RefusedInvalid: "INVALID", machine.RefusedLimit: "LIMIT",
		machine.RefusedRevoked: "SESSION_OVER", machine.RefusedUnready: "NO_LEADER", machine.RefusedRestored: "RESTORED",
	}
	for r := machine.Refusal(1); ; r++ {
		err := refusal(7, r)
		if status.Code(err) == codes.Internal {
			if int(r) != len(want)+1 {
				t.Errorf("refusal %d has no reason", r)
			}
			break
		}
		if got := reasonOf(err); got != want[r] {
			t.Errorf("refusal %d has %q, not %q", r, got, want[r])
		}
	}
}

func TestLogErrorsHaveReasons(t *testing.T) {
	tests := map[error]struct{ unary, repeatable, stream string }{
		raftstore.ErrNotLeader:  {"NO_LEADER", "NO_LEADER", "NO_LEADER"},
		raftstore.ErrUnknown:    {"UNKNOWN_OUTCOME", "NO_LEADER", "NO_LEADER"},
		raftstore.ErrOverloaded: {"OVERLOADED", "OVERLOADED", "OVERLOADED"},
		raftstore.ErrClosed:     {"STOPPING", "STOPPING", "STOPPING"},
	}
	for err, want := range tests {
		err = errors.Join(err)
		if got := reasonOf(proposalError(t.Context(), "what", "next", "", err)); got != want.unary {
			t.Errorf("%v of a call has %q, not %q", err, got, want.unary)
		}
		if got := reasonOf(callFailed("what", "", err)); got != want.repeatable {
			t.Errorf("%v of a call with an id has %q, not %q", err, got, want.repeatable)
		}
		if got := reasonOf(streamError("", err)); got != want.stream {
			t.Errorf("%v of a stream has %q, not %q", err, got, want.stream)
		}
	}
}

func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(interface{ GetReason() string }); ok {
			return info.GetReason()
		}
	}
	return ""
}

func TestFrameIsConvertedWhole(t *testing.T) {
	got, err := frameOf(7, 8, &coordv1.Ops{
		Acknowledged: []*coordv1.SeqRange{{First: 1, Last: 2}, {First: 4, Last: 4}},
		Ops: []*coordv1.Op{
			{Seq: 5, Op: &coordv1.Op_Wait{Wait: &coordv1.Wait{
				Arms: []*coordv1.Arm{
					{Kind: coordv1.Kind_KIND_LOCK, Name: "a", Shared: true},
					{Kind: coordv1.Kind_KIND_SEMAPHORE, Name: "b", Count: 2, Limit: 3},
				},
				Commit: coordv1.Commit_COMMIT_ALL, Try: true, Priority: -4, Note: "why",
				LockDelay: durationpb.New(9), WaitLimit: durationpb.New(10),
			}}},
			{Seq: 6, Op: &coordv1.Op_End{End: &coordv1.End{Target: 5}}},
			{Seq: 7, Op: &coordv1.Op_Release{Release: &coordv1.Release{Target: 5, Count: 1}}},
			{Seq: 8, Op: &coordv1.Op_Resize{Resize: &coordv1.Resize{Name: "b", Limit: 9}}},
			{Seq: 9, Op: &coordv1.Op_Describe{Describe: &coordv1.Describe{Kind: coordv1.Kind_KIND_LOCK, Name: "a"}}},
			{Seq: 10, Op: &coordv1.Op_Noop{}},
			{Seq: 11, Op: &coordv1.Op_Leave{}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := park.Object{Kind: park.KindLock, Name: "a"}, park.Object{Kind: park.KindSemaphore, Name: "b"}
	want := &machine.Frame{
		Session: 7, Epoch: 8,
		Acked: []machine.Range{{First: 1, Last: 2}, {First: 4, Last: 4}},
		Ops: []machine.Op{
			{Seq: 5, Do: machine.DoWait, Wait: machine.Wait{
				Arms:   []park.Arm{{On: a, Shared: true, N: 1}, {On: b, N: 2, Limit: 3}},
				Commit: park.Every, Try: true, Prio: -4, Delay: 9, Limit: 10, Note: "why",
			}},
			{Seq: 6, Do: machine.DoEnd, To: 5},
			{Seq: 7, Do: machine.DoRelease, To: 5, N: 1},
			{Seq: 8, Do: machine.DoResize, On: b, N: 9},
			{Seq: 9, Do: machine.DoDescribe, On: a},
			{Seq: 10, Do: machine.DoNoop},
			{Seq: 11, Do: machine.DoLeave},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUrgentLetsGo(t *testing.T) {
	op := func(do machine.Do) machine.Op { return machine.Op{Do: do} }
	tests := map[string]struct {
		ops  []machine.Op
		want bool
	}{
		"acknowledgement":          {nil, true},
		"end and release":          {[]machine.Op{op(machine.DoEnd), op(machine.DoRelease)}, true},
		"leave":                    {[]machine.Op{op(machine.DoLeave)}, true},
		"wait":                     {[]machine.Op{op(machine.DoWait)}, false},
		"end, then wait":           {[]machine.Op{op(machine.DoEnd), op(machine.DoWait)}, false},
		"read":                     {[]machine.Op{op(machine.DoDescribe)}, false},
		"resize":                   {[]machine.Op{op(machine.DoResize)}, false},
		"nothing in a seq's place": {[]machine.Op{op(machine.DoNoop)}, true},
	}
	for name, test := range tests {
		got := urgencyOf(&machine.Frame{Ops: test.ops})
		if (got == raftstore.Urgent) != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestBatchIsCutIntoFrames(t *testing.T) {
	party := machine.Party{Note: strings.Repeat("n", 1000)}
	large := &machine.Description{Holders: []machine.Party{party, party}}
	for name, test := range map[string]struct {
		batch []outcome
		want  []int
	}{
		"one":   {make([]outcome, 1), []int{1}},
		"many":  {make([]outcome, 2*frameOutcomes+1), []int{frameOutcomes, frameOutcomes, 1}},
		"large": {largeBatch(300, large), []int{118, 118, 64}},
	} {
		var got []int
		for batch := test.batch; len(batch) > 0; {
			var frame *coordv1.AttachResponse
			frame, batch = outcomesOf(batch)
			got = append(got, len(frame.GetOutcomes().GetOutcomes()))
			if size := proto.Size(frame); size > 2*frameBytes {
				t.Errorf("%s: a frame of %d bytes", name, size)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func largeBatch(n int, d *machine.Description) []outcome {
	batch := make([]outcome, n)
	for i := range batch {
		batch[i].description = d
	}
	return batch
}

// FuzzFrame wants of any request: no panic, and what is proposed decodes to itself, or
// every node would stop.
func FuzzFrame(f *testing.F) {
	seeds := []*coordv1.AttachRequest{
		{},
		{Frame: &coordv1.AttachRequest_Attach{Attach: &coordv1.Attach{
			Secret: make([]byte, 16), Instance: 1, Epoch: 1, Ttl: durationpb.New(1e10), Who: &coordv1.Who{Name: "n"},
			Wanted: []*coordv1.SeqRange{{First: 1, Last: math.MaxUint64}},
		}}},
		{Frame: &coordv1.AttachRequest_Ops{Ops: &coordv1.Ops{
			Acknowledged: []*coordv1.SeqRange{{First: 3, Last: 4}},
			Ops: []*coordv1.Op{
				{Seq: math.MaxUint64, Op: &coordv1.Op_Wait{Wait: &coordv1.Wait{
					Arms:   []*coordv1.Arm{{Kind: 300, Name: strings.Repeat("x", 300), Count: math.MinInt64, Limit: math.MaxInt64}, nil},
					Commit: -1, Priority: math.MinInt32, Note: strings.Repeat("n", 5000),
					LockDelay: &durationpb.Duration{Seconds: math.MaxInt64, Nanos: -1},
				}}},
				{}, nil, {Op: (*coordv1.Op_Wait)(nil)}, {Op: &coordv1.Op_End{}}, {Op: &coordv1.Op_Leave{}},
			},
		}}},
	}
	for _, seed := range seeds {
		data, err := proto.Marshal(seed)
		if err != nil {
			continue // a nil op has no encoding; the fuzzer finds its like
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		request := new(coordv1.AttachRequest)
		if proto.Unmarshal(data, request) != nil {
			return
		}
		if attach, err := attachOf(request.GetAttach()); err == nil {
			wantSame(t, attach)
		} else if reasonOf(err) != "INVALID" {
			t.Errorf("attach: %v", err)
		}
		frame, err := frameOf(7, 1, request.GetOps())
		if err != nil {
			if reasonOf(err) != "INVALID" {
				t.Errorf("frame: %v", err)
			}
			return
		}
		wantSame(t, frame)
		wantSpent(t, frame)
	})
}

func wantSame(t *testing.T, c machine.Command) {
	data := machine.AppendCommand(nil, c)
	got, err := machine.DecodeCommand(data)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	if again := machine.AppendCommand(nil, got); string(again) != string(data) {
		t.Errorf("%+v decodes to %+v", c, got)
	}
	if hint := sizeHint(c); len(data) > 4*hint+1<<10 {
		t.Errorf("hint of %d for %d bytes", hint, len(data))
	}
}

// wantSpent applies the ops under good seqs: each must be answered or parked, and an
// argument that a limit forbids must not get through.
func wantSpent(t *testing.T, f *machine.Frame) {
	m := machine.New()
	m.Apply(1, 0, []machine.Command{&machine.Bootstrap{Cluster: "c"}})
	m.Apply(2, 0, []machine.Command{&machine.Attach{Instance: 1, Epoch: 1, TTL: machine.MaxTTL}})
	f.Session = 1
	f.Acked = nil
	for i := range f.Ops {
		f.Ops[i].Seq = park.Seq(i) + 1 //nolint:gosec // small
	}
	_, events := m.Apply(3, 0, []machine.Command{f})
	for _, e := range events {
		if e.Type == machine.EventCut && e.Refusal != machine.RefusedOver {
			t.Errorf("cut for %v", e.Refusal)
		}
		if e.Type != machine.EventOutcome || e.Code != park.Granted {
			continue
		}
		for _, arm := range f.Ops[e.Seq-1].Wait.Arms {
			if len(arm.On.Name) > park.MaxName {
				t.Errorf("granted a name of %d bytes", len(arm.On.Name))
			}
		}
	}
}

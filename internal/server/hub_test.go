package server

import (
	"testing"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What a later Attach took over is nobody's here once its stream is gone: an earlier stream
// must not be told what is the later one's.
func TestAttachOfAStreamThatIsGoneCutsTheEarlier(t *testing.T) {
	const session, instance = 7, 1
	h := newHub()
	attach := func(epoch uint64) *stream {
		st := newStream(&h.backlog)
		if !h.add(st) || !h.register(st, attachKey{instance, epoch}, 5) {
			t.Fatal("the hub takes no stream")
		}
		return st
	}
	attached := func(epoch uint64) machine.Event {
		return machine.Event{Type: machine.EventAttached, Session: session, Instance: instance, Epoch: epoch}
	}
	earlier := attach(1)
	h.dispatch([]machine.Event{attached(1)})
	h.remove(attach(2))
	h.dispatch([]machine.Event{
		attached(2),
		{Type: machine.EventOutcome, Session: session, Seq: 1, Code: park.Granted},
	})
	out := earlier.drain(nil)
	if len(out.outcomes) != 0 {
		t.Errorf("told %v", out.outcomes)
	}
	if out.end == nil || reasonIn(out.end()) != coordv1.Reason_REASON_OLD_EPOCH {
		t.Error("it goes on")
	}
}

// A frame that came after its session had ended was counted after that, and is cut: its waits
// are forgotten. Those of a session that goes on are not.
func TestCutOfTheDeadIsNotCounted(t *testing.T) {
	h, of := newHub(), consumer{principal: "p"}
	h.tally.most = 2
	for _, s := range []park.SessionID{1, 2} {
		if !h.tally.park(s, waitKey{seq: 1}, of, 1) {
			t.Fatal("no room")
		}
	}
	h.dispatch([]machine.Event{{Type: machine.EventCut, Session: 2, Epoch: 1, Refusal: machine.RefusedOldEpoch}})
	if h.tally.park(3, waitKey{seq: 1}, of, 1) {
		t.Error("the waits of a session that only changed its stream are forgotten")
	}
	h.dispatch([]machine.Event{{Type: machine.EventCut, Session: 1, Epoch: 1, Refusal: machine.RefusedOver}})
	if !h.tally.park(3, waitKey{seq: 1}, of, 1) {
		t.Error("the dead have waits")
	}
	h.tally.reset()
	if !h.tally.empty() || len(h.tally.arms) != 0 {
		t.Errorf("left over: %v", h.tally.arms)
	}
}

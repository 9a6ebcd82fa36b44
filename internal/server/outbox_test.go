package server

import (
	"fmt"
	"testing"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// Whoever has as much as a session can have, and was revoked, can attach: the answers are
// sent at once, and a client whose outbox is too small for them would be cut each time.
func TestLargestAttachFits(t *testing.T) {
	m, index := machine.New(), uint64(0)
	apply := func(c machine.Command) []machine.Event {
		index++
		_, events := m.Apply(index, 0, []machine.Command{c})
		return events
	}
	apply(&machine.Bootstrap{Cluster: "c"})
	opened := apply(&machine.Attach{Instance: 1, Epoch: 1, TTL: int64(time.Minute)})[0]
	ops := make([]machine.Op, machine.MaxWanted)
	for i := range ops {
		ops[i] = machine.Op{Seq: park.Seq(i) + 1, Do: machine.DoNoop}
		if i < session.MaxOpen {
			on := park.Object{Kind: park.KindLock, Name: fmt.Sprint(i)}
			ops[i].Do, ops[i].Wait = machine.DoWait, machine.Wait{Commit: park.Any, Arms: []park.Arm{{On: on, N: 1}}}
		}
	}
	apply(&machine.Frame{Session: opened.Session, Epoch: 1, Ops: ops})
	apply(&machine.Revoke{Session: opened.Session})
	if holds := m.Counts().Holds; holds != session.MaxOpen {
		t.Fatalf("%d calls hold", holds)
	}
	attach := &machine.Attach{
		Session: opened.Session, Instance: 1, Epoch: 2,
		Wanted: []machine.Range{{First: 1, Last: machine.MaxWanted + 1}},
	}
	if e := apply(attach)[0]; e.Type != machine.EventRefused {
		t.Errorf("wanting more is answered %+v", e)
	}
	attach.Wanted[0].Last--
	events := apply(attach)
	o := newOutbox(new(backlog))
	if o.attach(&events[0]); !o.push(events[1:], 1) {
		t.Errorf("%d answers have %d bytes, of %d", len(events)-1, o.bytes, outboxBytes)
	}
	if len(events) != 1+machine.MaxWanted+session.MaxOpen {
		t.Errorf("%d events", len(events))
	}

	o = newOutbox(new(backlog))
	o.attach(&machine.Event{Replaced: make([]machine.Outcome, machine.MaxWanted)})
	if !o.push(events[:1], 1) {
		t.Errorf("what became of a replaced session has %d bytes, of %d", o.bytes, outboxBytes)
	}
}

// What waits for clients that do not read is bounded in all: who has more than a share is cut,
// who has less goes on, and what is sent or given up counts no more.
func TestBacklog(t *testing.T) {
	var all backlog
	const streams = 64
	data := make([]byte, 64<<10)
	push := func(o *outbox) bool {
		return o.push([]machine.Event{{Type: machine.EventOutcome, Data: string(data)}}, streams)
	}
	var full []*outbox
	cut := 0
	for all.held.Load() < 2*backlogBytes && cut == 0 {
		o := newOutbox(&all)
		full = append(full, o)
		for range outboxBytes / len(data) / 2 {
			if !push(o) {
				cut++
				o.drop(errStopping)
				break
			}
		}
		o.drain(nil) // its handler has it, and cannot send it
	}
	if held := all.held.Load(); cut != 1 || held < backlogBytes*9/10 || held > backlogBytes*11/10 {
		t.Errorf("%d cut, %d bytes held, of %d", cut, held, backlogBytes)
	}
	small := newOutbox(&all)
	if !push(small) {
		t.Error("one with little is cut")
	}
	for _, o := range full {
		o.drain(nil) // once more: what it had is sent
	}
	if held := all.held.Load(); held > 1<<20 {
		t.Errorf("%d bytes are held after all was sent", held)
	}
	small.discard()
	if held := all.held.Load(); held != 0 {
		t.Errorf("%d bytes are held after all are gone", held)
	}
}

package server

import (
	"sync"
	"sync/atomic"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/session"
)

// outboxBytes bounds what waits for a client that does not read, by estimate; what the
// handler has taken to send may be as much again. It is beyond what a session gets at once
// by an Attach, or it could never attach: an answer for each seq that it wants and, if it was
// revoked, a recall of each call that holds.
const outboxBytes = (machine.MaxWanted+session.MaxOpen)*outcomeBytes + 1<<20

// backlogBytes bounds what waits in all outboxes of a node together. Beyond it those streams
// are cut that have more than an equal share: many clients that read nothing, each within
// its own bound, would otherwise fill the memory.
const backlogBytes = 256 << 20

// A backlog is what waits in all outboxes of a node, in bytes.
type backlog struct{ held atomic.Int64 }

// over says whether an outbox with so many bytes, of so many streams, is to be given up.
func (b *backlog) over(bytes, streams int) bool {
	return b.held.Load() > backlogBytes && bytes > backlogBytes/max(1, streams)
}

// An outbox is what a stream still has to be sent, in log order. Apply appends to it and
// never waits; the stream's handler drains it.
type outbox struct {
	// ready has a token whenever there may be something to drain.
	ready chan struct{}
	// over is closed when the stream is cut.
	over chan struct{}
	all  *backlog // of the node

	mu       sync.Mutex
	attached *machine.Event // goes first
	queue    []outcome
	bytes    int          // of queue and attached
	sending  int          // of what the handler has taken last
	end      func() error // the status to end with; nil until cut
}

func newOutbox(all *backlog) *outbox {
	return &outbox{ready: make(chan struct{}, 1), over: make(chan struct{}), all: all}
}

// count sets what there is. mu is held.
func (o *outbox) count(bytes, sending int) {
	o.all.held.Add(int64(bytes + sending - o.bytes - o.sending))
	o.bytes, o.sending = bytes, sending
}

// wake tells the handler. It never waits.
func (o *outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// attach puts the answer to the Attach before everything else. It does not wake.
func (o *outbox) attach(e *machine.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attached = e
	o.count(o.bytes+len(e.Replaced)*outcomeBytes, o.sending)
}

// push appends outcomes, unless the outbox is cut, and reports whether they fit; the stream
// is one of so many. It does not wake, so that one entry's outcomes go out together.
func (o *outbox) push(events []machine.Event, streams int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.end != nil {
		return true
	}
	bytes := o.bytes
	for i := range events {
		out := outcomeFrom(&events[i])
		bytes += out.size()
		o.queue = append(o.queue, out)
	}
	o.count(bytes, o.sending)
	return o.bytes <= outboxBytes && !o.all.over(o.bytes+o.sending, streams)
}

// cut ends the stream with why's error once it has been sent what there is; a nil error
// is a stream that ended well. why runs in the handler. The first cut counts.
func (o *outbox) cut(why func() error) { o.finish(why, false) }

// drop is cut of a client that does not read: it is sent nothing more.
func (o *outbox) drop(why func() error) { o.finish(why, true) }

func (o *outbox) finish(why func() error, forget bool) {
	o.mu.Lock()
	first := o.end == nil
	if first {
		o.end = why
	}
	if forget {
		o.queue, o.attached = nil, nil
		o.count(0, o.sending)
	}
	o.mu.Unlock()
	if first {
		close(o.over)
	}
	o.wake()
}

// drained is what an outbox held.
type drained struct {
	attached *machine.Event
	outcomes []outcome
	end      func() error
}

// drain empties the outbox. spare is a slice that its next outcomes may use.
func (o *outbox) drain(spare []outcome) drained {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := drained{attached: o.attached, outcomes: o.queue, end: o.end}
	o.attached, o.queue = nil, spare[:0]
	o.count(0, o.bytes) // what it took before has been sent
	return out
}

// discard forgets all there is: the handler has returned.
func (o *outbox) discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue, o.attached = nil, nil
	o.count(0, 0)
}

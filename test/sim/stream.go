package main

import (
	"time"

	"coordd.dev/internal/lessee"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A stream is both ends of an Attach and the wires between them. Each wire keeps its order
// and may lose its tail.
type stream struct {
	w      *world
	client *client
	node   *node
	epoch  uint64
	up     wire
	down   wire

	session park.SessionID // once it is attached
	closed  bool           // the node has forgotten it

	asked uint64 // the session that its Attach takes up
	gone  bool   // the client has forgotten it
}

// A wire carries messages one way.
type wire struct {
	w      *world
	queue  []func()
	last   time.Duration // when the last of them arrives
	held   time.Duration // nothing arrives before
	closed bool          // nothing is sent on it any more
}

func (x *wire) send(f func()) {
	if x.closed {
		return
	}
	x.queue = append(x.queue, f)
	x.last = max(x.last, x.w.now+50*time.Microsecond+upTo(x.w.net, 2*time.Millisecond))
	x.w.at(x.last, x.arrive)
}

func (x *wire) arrive() {
	switch {
	case len(x.queue) == 0: // lost
	case x.held > x.w.now:
		x.w.at(x.held, x.arrive)
	default:
		f := x.queue[0]
		x.queue = x.queue[1:]
		f()
	}
}

// lose drops what is under way but for the first keep messages.
func (x *wire) lose(keep int) {
	x.queue = x.queue[:min(keep, len(x.queue))]
	x.closed = true
}

// connect begins a stream to n with its Attach frame.
func (w *world) connect(c *client, n *node, a lessee.Attach) *stream {
	s := &stream{w: w, client: c, node: n, epoch: a.Epoch, asked: a.Session}
	s.up.w, s.down.w = w, w
	s.send(func() { n.attach(s, a) })
	return s
}

// send carries f to the node.
func (s *stream) send(f func()) {
	s.up.send(func() {
		s.node.run(func() {
			if !s.closed {
				f()
			}
		})
	})
}

// tell carries an answer to the client.
func (s *stream) tell(a lessee.Answer) {
	s.down.send(func() { s.client.run(func() { s.client.receive(s, a) }) })
}

func (s *stream) answer(a lessee.Attached) {
	s.down.send(func() { s.client.run(func() { s.client.attached(s, a) }) })
}

// close ends the stream from the node's side.
func (s *stream) close(why machine.Refusal) {
	if s.closed {
		return
	}
	s.closed = true
	n := s.node
	for i, x := range n.streams {
		if x == s {
			n.streams = append(n.streams[:i:i], n.streams[i+1:]...)
			break
		}
	}
	if n.bound[s.session] == s {
		delete(n.bound, s.session)
	}
	s.down.send(func() { s.client.run(func() { s.client.closed(s, why) }) })
	s.down.closed = true
}

// cut is the network's: both ends learn of it, each at its time, and what is under way is
// lost from some message on.
func (s *stream) cut() {
	w := s.w
	w.tracef("stream %d of client %d is cut", s.epoch, s.client.id)
	s.up.lose(w.fate.IntN(len(s.up.queue) + 1))
	s.down.lose(w.fate.IntN(len(s.down.queue) + 1))
	d := upTo(w.fate, 20*time.Millisecond)
	w.after(d+time.Millisecond, func() { s.node.run(func() { s.close(0) }) })
	w.after(upTo(w.fate, 20*time.Millisecond), func() { s.client.run(func() { s.client.closed(s, 0) }) })
}

// stall keeps what the client sends from now on, until after the client has given the
// stream up: it arrives when the next stream is being attached, or later.
func (s *stream) stall() {
	w := s.w
	w.tracef("stream %d of client %d stalls", s.epoch, s.client.id)
	d := upTo(w.fate, 200*time.Millisecond)
	s.up.held = w.now + d + upTo(w.fate, 20*time.Millisecond)
	if chance(w.fate, 4) {
		s.up.held += upTo(w.fate, 2*time.Second)
	}
	w.after(d, func() { s.client.run(func() { s.client.closed(s, 0) }) })
}

// halfOpen loses all answers from now on; the client finds out by its keepalive.
func (s *stream) halfOpen() {
	s.w.tracef("stream %d of client %d is half open", s.epoch, s.client.id)
	s.down.lose(0)
	s.w.after(upTo(s.w.fate, 3*time.Second), func() { s.client.run(func() { s.client.closed(s, 0) }) })
}

package server

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/raftstore"
)

const (
	// attachLimit is how long a stream may keep its Attach frame to itself.
	attachLimit = 10 * time.Second

	// streamBytes bounds what one stream has in the log and not yet applied. Beyond it
	// the stream is not read, and flow control tells the client. Sixty such streams
	// are needed to fill the log.
	streamBytes = 1 << 20
)

// errOver ends a reader whose stream was cut already: the status is that of the cut.
var errOver = errors.New("stream is over")

// Attach serves one session stream. This goroutine writes; another one reads, because
// nothing else than the end of the handler ends a Recv.
func (s *sessions) Attach(ss grpc.BidiStreamingServer[coordv1.AttachRequest, coordv1.AttachResponse]) error {
	a := &attachment{server: s.Server, grpc: ss, stream: newStream(&s.cfg.Replica.hub.backlog)}
	a.window.freed = make(chan struct{}, 1)
	hub := s.cfg.Replica.hub
	if !hub.add(a.stream) {
		return errStopping()
	}
	defer hub.remove(a.stream)
	s.running.Go(a.read)
	return a.write(ss.Context())
}

// An attachment is a stream that is being served.
type attachment struct {
	*stream
	server *Server
	grpc   grpc.BidiStreamingServer[coordv1.AttachRequest, coordv1.AttachResponse]
	window window // only of the reader, but for its release
}

// write sends what comes into the outbox until the stream is cut or its client is gone.
func (a *attachment) write(ctx context.Context) error {
	limit := time.NewTimer(attachLimit)
	defer limit.Stop()
	late := limit.C
	var spare []outcome
	for {
		select {
		case <-a.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late:
			late = nil
			if !a.expected() {
				return invalid("stream: no Attach frame in %v; send it first", attachLimit)
			}
			continue
		}
		out := a.drain(spare)
		if err := a.send(out); err != nil {
			return err
		}
		if out.end != nil {
			return out.end()
		}
		spare = recycle(out.outcomes)
	}
}

// recycle returns the memory of outcomes for the next ones, unless it is that of a burst.
func recycle(outcomes []outcome) []outcome {
	if cap(outcomes) > frameOutcomes {
		return nil
	}
	clear(outcomes) // or they keep descriptions alive
	return outcomes[:0]
}

func (a *attachment) send(out drained) error {
	if out.attached != nil {
		if err := a.grpc.Send(attachedOf(out.attached, a.server.cfg.NodeName)); err != nil {
			return err
		}
	}
	for i := range out.outcomes {
		o := &out.outcomes[i]
		o.cycle = a.server.veil(askerOf(a.grpc.Context()), o.cycle)
	}
	for batch := out.outcomes; len(batch) > 0; {
		var frame *coordv1.AttachResponse
		frame, batch = outcomesOf(batch)
		if err := a.grpc.Send(frame); err != nil {
			return err
		}
	}
	return nil
}

// expected says whether the Attach frame has come.
func (a *attachment) expected() bool {
	hub := a.server.cfg.Replica.hub
	hub.mu.Lock()
	defer hub.mu.Unlock()
	return a.term != 0
}

// read submits what the client sends, until it half-closes, something is wrong with it
// or the stream is over. Then it cuts the stream.
func (a *attachment) read() {
	err := a.attach()
	for err == nil {
		err = a.readFrame()
	}
	if errors.Is(err, io.EOF) && a.drained() {
		err = nil
	}
	a.cut(func() error { return err })
}

// drained waits until all that was submitted is applied: a client that says all at once
// and half-closes still gets its answers, but for those of waits that are parked.
func (a *attachment) drained() bool { return a.window.await(a.grpc.Context(), a.over, 0) }

// attach takes the first frame and submits it; it returns once that is answered.
func (a *attachment) attach() error {
	first, err := a.grpc.Recv()
	if err != nil {
		return err
	}
	if first.GetAttach() == nil {
		return invalid("stream: its first frame is not an Attach; send that first")
	}
	attach, err := attachOf(first.GetAttach())
	if err != nil {
		return err
	}
	ctx := a.grpc.Context()
	attach.Secret, attach.ReplacesSecret = bind(ctx, attach.Secret), bind(ctx, attach.ReplacesSecret)
	if err := a.register(attachKey{attach.Instance, attach.Epoch}); err != nil {
		return err
	}
	// Taking up may not be refused for load: a session must be able to let go.
	urgency := raftstore.Ordinary
	if attach.Session != 0 || attach.Replaces != 0 {
		urgency = raftstore.Urgent
	}
	a.submit(attach, urgency, func(index uint64) { a.opened(attach, index) }, func() {})
	select {
	case <-a.bound:
		a.server.cfg.Replica.hub.tally.keep(a.session, attach.Wanted)
		return nil
	case <-a.over:
		return errOver
	case <-a.grpc.Context().Done():
		return context.Cause(a.grpc.Context())
	}
}

// register expects the answer, in this term. Whoever ends the term later finds the
// stream; who ended it before is seen by looking again.
func (a *attachment) register(key attachKey) error {
	term := a.server.leading()
	if term == 0 {
		return errNoLeader("attach", a.server.leaderHint())
	}
	if !a.server.cfg.Replica.hub.register(a.stream, key, term) {
		return invalid("attach: instance and epoch are those of another Attach; raise the epoch")
	}
	if a.server.leading() != term {
		return errNoLeader("attach", a.server.leaderHint())
	}
	return nil
}

// readFrame submits one frame of ops.
func (a *attachment) readFrame() error {
	if !a.window.await(a.grpc.Context(), a.over, streamBytes) {
		return errOver
	}
	request, err := a.grpc.Recv()
	if err != nil {
		return err // of a frame that cannot be decoded or is too large gRPC has told
	}
	ops := request.GetOps()
	if ops == nil {
		return invalid("stream: a frame has no ops; only the first is an Attach")
	}
	frame, err := frameOf(a.session, a.key.epoch, ops)
	if err != nil {
		return err
	}
	asker := askerOf(a.grpc.Context())
	allowed := a.server.permitOps(asker, frame)
	counted := a.boundWaits(frame)
	a.server.renewals.ride()
	a.submit(frame, urgencyOf(frame), func(index uint64) {
		a.server.recordAllowed(asker, coordv1.SessionService_Attach_FullMethodName, allowed, "", index)
	}, func() { a.uncount(counted) })
	return nil
}

// source is the session, or who will have one.
func (a *attachment) source(c machine.Command) raftstore.Source {
	attach, ok := c.(*machine.Attach)
	switch {
	case !ok:
		return raftstore.Source(a.session)
	case attach.Session != 0:
		return raftstore.Source(attach.Session)
	}
	return raftstore.Source(attach.Instance)
}

// opened records an Attach that opened a session, once it is applied.
func (a *attachment) opened(attach *machine.Attach, index uint64) {
	select {
	case <-a.bound:
	default:
		return // it was refused
	}
	if attach.Session == 0 {
		a.server.recordOpening(askerOf(a.grpc.Context()), coordv1.SessionService_Attach_FullMethodName, a.session, index)
	}
}

// submit hands a command to the log, and has applied called once that is applied, or failed. Neither
// may hold on to the command: many may wait for the log, which has each as bytes.
func (a *attachment) submit(c machine.Command, u raftstore.Urgency, applied func(index uint64), failed func()) {
	data := machine.AppendCommand(make([]byte, 0, sizeHint(c)), c)
	a.window.take(len(data))
	a.server.cfg.Log.Submit(data, a.source(c), u, func(index uint64, _ any, err error) {
		a.window.release(len(data))
		if err != nil {
			failed()
			a.cut(func() error { return streamError(a.server.leaderHint(), err) })
			return
		}
		applied(index)
	}, tracesOf(c)...)
}

// sizeHint is about what a command takes encoded: the log keeps the bytes, so that they
// should be neither grown nor much too many.
func sizeHint(c machine.Command) int {
	const head, op, arm, rng = 64, 16, 16, 8
	switch c := c.(type) {
	case *machine.Frame:
		n := head + len(c.Acked)*rng + len(c.Ops)*op
		for i := range c.Ops {
			n += len(c.Ops[i].On.Name) + len(c.Ops[i].Wait.Note)
			for j := range c.Ops[i].Wait.Arms {
				n += arm + len(c.Ops[i].Wait.Arms[j].On.Name)
			}
		}
		return n
	case *machine.Attach:
		return 2*head + len(c.Who) + len(c.Wanted)*rng
	default:
		return head
	}
}

// A window counts the bytes that a stream has in the log. One goroutine takes and waits,
// the log's releases.
type window struct {
	used  atomic.Int64
	freed chan struct{} // of one
}

func (w *window) take(n int) { w.used.Add(int64(n)) }

func (w *window) release(n int) {
	w.used.Add(-int64(n))
	select {
	case w.freed <- struct{}{}:
	default:
	}
}

// await waits until no more than n bytes are used. It is false if ctx or over is sooner.
func (w *window) await(ctx context.Context, over <-chan struct{}, n int64) bool {
	for w.used.Load() > n {
		select {
		case <-w.freed:
		case <-over:
			return false
		case <-ctx.Done():
			return false
		}
	}
	select {
	case <-over:
		return false
	default:
		return true
	}
}

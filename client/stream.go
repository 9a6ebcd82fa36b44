package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

const (
	// attachTimeout bounds the wait for Attached, which takes a commit.
	attachTimeout = 3 * time.Second

	maxFrameOps = 1024
	maxAtOnce   = 3 // new tries in a row without a pause
)

var (
	errResting     = errors.New("resting after a loss")
	errSessionOver = errors.New("the session of the stream is over")
	errNoAnswer    = errors.New("no answer to Attach")
	errLateAnswer  = errors.New("the answer to Attach came after the session's lease")
	errAtOnce      = errors.New("there is something better to try")
)

type opStream = grpc.BidiStreamingClient[coordv1.AttachRequest, coordv1.AttachResponse]

// run keeps a stream to the leader for as long as the client lives.
func (k *courier) run(ctx context.Context) {
	b, atOnce := newBackOff(), 0
	for ctx.Err() == nil {
		useful, err := k.serve(ctx)
		k.report()
		if useful {
			b.reset()
			atOnce = 0
		}
		switch {
		case errors.Is(err, errResting):
			select {
			case <-k.wake:
			case <-ctx.Done():
			}
		case errors.Is(err, errAtOnce) && atOnce < maxAtOnce:
			atOnce++
		default:
			k.conn.pause(ctx, b, err)
		}
	}
}

// opened reports the first session, or why there will be none. Later calls do nothing.
func (k *courier) opened(err error) {
	select {
	case k.first <- err:
	default:
	}
}

// serve runs one stream to its end, and says whether it was of use: it brought an outcome,
// or lasted. That it attached is not enough: no Attach is refused for load, but the frame
// that follows is, and every session of a busy cluster would come again at once for ever.
func (k *courier) serve(ctx context.Context) (useful bool, err error) {
	l, err := k.conn.leader(ctx)
	if err != nil {
		k.tried(err)
		if u, ok := errors.AsType[*unreachable](err); ok && u.mistrusted() {
			k.opened(err)
		}
		if errors.Is(err, ErrForbidden) {
			k.opened(fmt.Errorf("open a session: %w", err))
		}
		return false, err
	}
	if err := k.conn.queue(ctx); err != nil {
		return false, err
	}
	dequeue := sync.OnceFunc(k.conn.dequeue)
	defer dequeue()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	attach, ok := k.connect(cut)
	if !ok {
		return false, errResting
	}
	defer k.disconnect(attach.Epoch)
	stream, err := coordv1.NewSessionServiceClient(l.cc).Attach(ctx)
	if err == nil {
		err = k.attach(cut, l, stream, attach)
	}
	dequeue()
	if err == nil {
		if !l.leads {
			k.conn.suspect(l) // the leader may be another by now, and in reach
		}
		useful, err = k.carry(ctx, l, stream, attach.Epoch)
	}
	return useful, k.streamEnded(ctx, l, attach.Session, err)
}

// tried keeps the latest reason why there is no stream, for those whose ctx ends meanwhile.
func (k *courier) tried(err error) { k.fault.Store(&err) }

// outage is why there is no stream, nil if there is one or that is not known.
func (k *courier) outage() error {
	if p := k.fault.Load(); p != nil {
		return *p
	}
	return nil
}

// connect begins a stream of the lessee.
func (k *courier) connect(cut func(error)) (lessee.Attach, bool) {
	secret := newSecret()
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.lessee.Connect(k.clock.now(), secret)
	k.after()
	if ok {
		k.cut = cut
	}
	kick(k.due)
	return a, ok
}

func (k *courier) disconnect(epoch uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lessee.Disconnect(epoch)
	k.after()
	k.cut = nil
	kick(k.due)
}

// attach makes the stream the session's.
func (k *courier) attach(cut func(error), l *link, stream opStream, a lessee.Attach) error {
	slow := time.AfterFunc(silence, func() { k.conn.suspect(l) })
	defer slow.Stop()
	late := time.AfterFunc(attachTimeout, func() { cut(errNoAnswer) })
	defer late.Stop()
	err := stream.Send(&coordv1.AttachRequest{
		Frame: &coordv1.AttachRequest_Attach{Attach: k.attachOf(a)},
	})
	resp, rerr := stream.Recv() // says why, if it could not be sent
	switch {
	case rerr != nil:
		return rerr
	case err != nil:
		return err
	case resp.GetAttached() == nil:
		return errors.New("the first frame is not Attached")
	}
	k.mu.Lock()
	up := k.lessee.Attached(k.clock.now(), a.Epoch, attachedFrom(resp.GetAttached()))
	k.after()
	k.mu.Unlock()
	if !up {
		return errLateAnswer
	}
	k.fault.Store(nil)
	k.opened(nil)
	if a.Replaces != 0 {
		k.report() // its loss comes before
		k.cfg.network.logger.Info("session opened anew", "session", string(sessionID(resp.GetAttached().GetSessionId())))
	}
	kick(k.due)
	kick(k.write)
	return nil
}

// carry moves frames up and outcomes down until the stream ends. See serve for useful.
func (k *courier) carry(ctx context.Context, l *link, stream opStream, epoch uint64) (useful bool, err error) {
	began := k.clock.now()
	var writer sync.WaitGroup
	v := &vigil{clock: k.clock}
	ctx, stop := context.WithCancel(ctx)
	writer.Go(func() { k.send(ctx, l, stream, v) })
	defer writer.Wait()
	defer stop()
	var answers []lessee.Answer
	for {
		resp, err := stream.Recv()
		if err != nil {
			return useful || k.clock.now()-began >= retryMost, err
		}
		answers = appendAnswers(answers[:0], resp.GetOutcomes())
		v.hears(answers)
		useful = useful || len(answers) > 0
		k.mu.Lock()
		k.lessee.Receive(k.clock.now(), epoch, answers)
		k.after()
		k.mu.Unlock()
		kick(k.write) // an answer may be that something is to be asked anew
	}
}

// send drains the lessee's frames whenever there may be one; what arrives while one is
// sent goes into the next. It also watches for silence. An error ends the stream, and
// the reader learns why.
func (k *courier) send(ctx context.Context, l *link, stream opStream, v *vigil) {
	watch := time.NewTimer(silence)
	defer watch.Stop()
	watching := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-watch.C:
			wait, ask := v.look()
			if watching = wait > 0; watching {
				watch.Reset(wait)
			}
			if ask {
				k.conn.suspect(l)
			}
		case <-k.write:
			// An answer of many outcomes readies as many goroutines. They run first, so that
			// what they ask for next is one frame and not as many: a frame costs far more
			// than an op.
			runtime.Gosched()
			sent, err := k.sendAll(stream, v)
			if err != nil {
				return
			}
			if sent && !watching {
				watching = true
				watch.Reset(silence)
			}
		}
	}
}

// sendAll sends until the lessee has nothing more.
func (k *courier) sendAll(stream opStream, v *vigil) (sent bool, err error) {
	for {
		k.mu.Lock()
		f, ok := k.lessee.Frame(maxFrameOps)
		k.after()
		k.mu.Unlock()
		if !ok {
			return sent, nil
		}
		sent = true
		v.sends(f)
		for _, req := range requestsOf(f) {
			if err := stream.Send(req); err != nil {
				return sent, fmt.Errorf("send a frame: %w", err)
			}
		}
	}
}

// streamEnded tells those whom it concerns why a stream to take up session, or to open
// one, ended.
func (k *courier) streamEnded(ctx context.Context, l *link, session uint64, err error) error {
	r := refusedBy(err)
	reason, over := r.sessionOver()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errSessionOver):
		return errAtOnce
	case errors.Is(err, errLateAnswer):
		k.tried(err)
		return errors.Join(errAtOnce, err)
	case over:
		k.over(session, reason)
		return errors.Join(errAtOnce, r)
	case errors.Is(cause, errNoAnswer):
		r.message = errNoAnswer.Error()
		k.conn.suspect(l)
	case r.aboutTheLink() && ctx.Err() == nil:
		k.conn.left(l, r)
	case r.aboutTheStream() && ctx.Err() == nil:
		k.conn.suspect(l)
	case r.reason == coordv1.Reason_REASON_INVALID, errors.Is(r, ErrForbidden):
		k.opened(fmt.Errorf("open a session: %w", r))
	}
	k.tried(r)
	if r.leader() != "" {
		return errors.Join(errAtOnce, r)
	}
	return r
}

// over tells the lessee that the cluster has ended the session: the one that was taken
// up, or the one that the stream opened.
func (k *courier) over(session uint64, reason lessee.Reason) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if session == 0 {
		session, _ = k.lessee.Session()
	}
	k.lessee.Over(k.clock.now(), session, reason)
	k.after()
	kick(k.due)
}

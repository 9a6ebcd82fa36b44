package client

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

// outOfReach is after how long without the cluster an observer says so.
const outOfReach = time.Second

// A watcher follows the changes of one object, over reconnects and changes of leaders.
type watcher struct {
	ref   Ref
	conn  *conn
	reach reach

	after uint64 // everything up to this revision was heard
	known bool   // after says so, also if it is 0: nothing had ever happened
	ended bool   // whoever watches wants no more

	// heard takes a response, before after is raised. lost says that the cluster has another
	// past than what was heard. An error of either is run's.
	heard func(*coordv1.WatchResponse) error
	lost  func() error
}

func newWatcher(k *courier, ref Ref) watcher {
	return watcher{
		ref: ref, conn: k.conn, reach: reach{logger: k.cfg.network.logger.With(ref.Kind.String(), ref.Name)},
	}
}

// run watches for as long as it can. It returns nil when it is ended.
func (w *watcher) run(ctx context.Context) error {
	defer w.reach.stop()
	for b := newBackOff(); ; {
		heard, err := w.watch(ctx)
		if heard {
			b.reset()
		}
		switch r := (*refused)(nil); {
		case w.ended:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &r) && r.reason == coordv1.Reason_REASON_INVALID && w.after > 0:
			if err := w.lost(); err != nil {
				return err
			}
		case errors.As(err, &r) && r.final():
			return r
		case !errors.As(err, &r) && heard:
			return err // heard's own
		default:
			w.reach.lost()
			w.conn.pause(ctx, b, err)
		}
	}
}

// watch passes on what one stream brings until it ends, and reports whether it brought
// anything.
func (w *watcher) watch(ctx context.Context) (heard bool, err error) {
	l, err := w.conn.leader(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req := &coordv1.WatchRequest{Kind: coordv1.Kind(w.ref.Kind), Name: w.ref.Name}
	if w.known {
		req.After = new(w.after)
	}
	stream, err := coordv1.NewInspectServiceClient(l.cc).Watch(ctx, req)
	for err == nil && !w.ended {
		var resp *coordv1.WatchResponse
		if resp, err = stream.Recv(); err == nil {
			heard = true
			w.reach.found()
			if err := w.heard(resp); err != nil {
				return true, err
			}
			w.after, w.known = max(w.after, resp.GetRevision()), true
		}
	}
	if err == nil {
		return heard, nil
	}
	r := refusedBy(err)
	switch {
	case ctx.Err() != nil, r.final():
	case r.aboutTheLink():
		w.conn.left(l, r)
	case r.aboutTheStream():
		w.conn.suspect(l)
	}
	return heard, r
}

// A reach says, in the client's log, when the cluster has been out of an observer's reach
// for a while, and when it is back.
type reach struct {
	logger *slog.Logger
	cut    context.CancelFunc // nil while it is in reach
	said   bool
	wg     sync.WaitGroup
}

// lost says so, unless found comes soon. Later calls do nothing.
func (r *reach) lost() {
	if r.cut != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cut = cancel
	r.wg.Go(func() {
		t := time.NewTimer(outOfReach)
		defer t.Stop()
		select {
		case <-t.C:
			r.said = true
			r.logger.Warn("observer out of reach of the cluster")
		case <-ctx.Done():
		}
	})
}

func (r *reach) found() {
	if r.cut == nil {
		return
	}
	r.stop()
	if r.said {
		r.said = false
		r.logger.Info("observer in reach of the cluster again")
	}
}

func (r *reach) stop() {
	if r.cut != nil {
		r.cut()
		r.cut = nil
	}
	r.wg.Wait()
}

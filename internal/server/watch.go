package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

const (
	// frameChanges is how many changes go into one WatchResponse.
	frameChanges = 256

	// progressEvery is how often a watch of something that does not change is told how far
	// it is: or it would have to begin anew after a cut, when all since is forgotten.
	progressEvery = 5 * time.Second
)

// Watch implements coordv1.InspectServiceServer. It ends with this node's leadership, so
// that it is never long behind a leader that it does not know of.
func (i *inspect) Watch(req *coordv1.WatchRequest, ss grpc.ServerStreamingServer[coordv1.WatchResponse]) error {
	on, err := watchedOf(req)
	if err != nil {
		return err
	}
	term := i.leading()
	if term == 0 {
		return errNoLeader("watch", i.leaderHint())
	}
	journal := i.cfg.Replica.journal
	if last := journal.revision(); req.GetAfter() > last {
		return invalid("watch: after is %d, and the last revision is %d; begin without it", req.GetAfter(), last)
	}
	w := journal.watch(on, req.GetAfter())
	if w == nil {
		return errWatches()
	}
	defer w.close()
	if req.After == nil {
		err = i.begin(ss, w)
	} else {
		err = i.sendWatch(ss, w, true) // how far it is, at least: whoever was cut off learns that it goes on
	}
	if err != nil {
		return err
	}
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		due, err := i.awaitWatch(ss.Context(), w, term, progress.C)
		if err != nil {
			return err
		}
		if err := i.sendWatch(ss, w, due); err != nil {
			return err
		}
	}
}

func errWatches() error {
	return errLimit("watch", limitWatches,
		fmt.Sprintf("the leader has %d watches, or %d of more than one object, as many as it can have; "+
			"watch one object by its name, or end other watches", maxWatches, maxWide))
}

// watchedOf says what is to be watched; a Name "" or a Kind 0 is all of them.
func watchedOf(req *coordv1.WatchRequest) (park.Object, error) {
	on := park.Object{Kind: kindOf(req.GetKind()), Name: req.GetName()}
	switch {
	case on.Kind == noKind && req.GetKind() != coordv1.Kind_KIND_UNSPECIFIED:
		return on, invalid("watch: kind %d is not known to this version; choose another", req.GetKind())
	case on.Kind == noKind && on.Name != "":
		return on, invalid("watch: a name without a kind; say which kind")
	case on.Name != "" && !park.ValidName(on.Name):
		return on, invalid("watch: name is not 1 to %d bytes of UTF-8 without control characters; correct it", park.MaxName)
	}
	return on, nil
}

// awaitWatch waits until the watch may have something to say, or is to say at least how far
// it is (due).
func (i *inspect) awaitWatch(ctx context.Context, w *watcher, term uint64, progress <-chan time.Time) (due bool, err error) {
	for {
		_, changed := i.cfg.Log.Leadership()
		if i.leading() != term {
			return false, errNoLeader("watch", i.leaderHint())
		}
		select {
		case <-w.ready:
			return false, nil
		case <-progress:
			return true, nil
		case <-changed:
		case <-i.draining:
			return false, errStopping()
		case <-ctx.Done():
			return false, status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (i *inspect) sendWatch(ss grpc.ServerStreamingServer[coordv1.WatchResponse], w *watcher, due bool) error {
	b := w.take()
	switch {
	case b.skipped > 0 && w.on.Name != "":
		out, err := i.present(ss.Context(), w)
		if err != nil {
			return err
		}
		out.Skipped = out.Revision - b.after // what is kept before the state is not told either
		return ss.Send(out)
	case b.skipped > 0, due && len(b.changes) == 0:
		first := b.upto
		if len(b.changes) > 0 {
			first = b.changes[0].Revision - 1
		}
		if err := ss.Send(&coordv1.WatchResponse{Skipped: b.skipped, Revision: first}); err != nil {
			return err
		}
	}
	for len(b.changes) > 0 {
		n := min(len(b.changes), frameChanges)
		out := &coordv1.WatchResponse{Changes: changesOf(b.changes[:n]), Revision: b.changes[n-1].Revision}
		if b.changes = b.changes[n:]; len(b.changes) == 0 {
			out.Revision = b.upto
		}
		if err := ss.Send(out); err != nil {
			return err
		}
	}
	return nil
}

// begin says where a watch begins.
func (i *inspect) begin(ss grpc.ServerStreamingServer[coordv1.WatchResponse], w *watcher) error {
	if w.on.Name == "" {
		revision := i.cfg.Replica.journal.revision()
		w.goOn(revision)
		return ss.Send(&coordv1.WatchResponse{Revision: revision})
	}
	out, err := i.present(ss.Context(), w)
	if err != nil {
		return err
	}
	return ss.Send(out)
}

// present is the state of the one object that a watch is of, as it is in the log now, from
// where the watch goes on.
func (i *inspect) present(ctx context.Context, w *watcher) (*coordv1.WatchResponse, error) {
	d, err := i.describe(ctx, "watch", w.on)
	if err != nil {
		return nil, err
	}
	w.goOn(d.Revision)
	return &coordv1.WatchResponse{Present: descriptionOf(d), Revision: d.Revision}, nil
}

// describe reads an object through the log. One that is not there has nothing in it.
func (s *Server) describe(ctx context.Context, what string, on park.Object) (*machine.Description, error) {
	result, err := s.read(ctx, what, &machine.Describe{On: on})
	if err != nil {
		return nil, err
	}
	d, ok := result.(*machine.Description)
	if !ok {
		return nil, status.Error(codes.Internal, fmt.Sprintf("%s: the machine answered %T", what, result))
	}
	return d, nil
}

func changesOf(changes []machine.Change) []*coordv1.ObjectChange {
	out := make([]*coordv1.ObjectChange, len(changes))
	for i := range changes {
		c := &changes[i]
		out[i] = &coordv1.ObjectChange{
			Revision:  c.Revision,
			Type:      coordv1.ChangeType(c.Type),
			Kind:      coordv1.Kind(c.On.Kind),
			Name:      c.On.Name,
			SessionId: uint64(c.ID.Session),
			Who:       whoOf(c.Who),
			Note:      c.Note,
			Token:     uint64(c.Token),
			Shared:    c.Shared,
			Count:     c.N,
			EndReason: coordv1.EndReason(c.Ending),
		}
		if c.On.Kind == park.KindMap {
			out[i].Key, out[i].Data = bytesOf(c.Key), bytesOf(c.Value)
		} else {
			out[i].Value = c.Value
		}
		if c.Type == machine.ChangeGranted {
			out[i].Waited = durationOf(c.Waited)
		}
		if c.Ending != 0 {
			out[i].Held = durationOf(c.Held)
		}
	}
	return out
}

package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/backup"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
)

const (
	// maxSaves is how many backups are taken at a time: each keeps alive what the state was.
	maxSaves = 2

	// A save rests for so many times the time that it was busy, as a snapshot of the log's
	// does, but not for longer than saveRest.
	saveRests = 3
	saveRest  = 20 * time.Millisecond

	// restoreVersion is the first version of the machine that has restores; upgradeWait is how
	// long a restore waits until the members of a new cluster have told theirs.
	restoreVersion = 2
	upgradeWait    = 3 * tendEvery
)

// SaveSnapshot implements coordv1.ClusterServiceServer. What the state is after a command of
// its own is what it sends, at the pace at which that is read.
func (c *cluster) SaveSnapshot(_ *coordv1.SaveSnapshotRequest, ss grpc.ServerStreamingServer[coordv1.SaveSnapshotResponse]) error {
	const what = "save snapshot"
	select {
	case c.saves <- struct{}{}:
		defer func() { <-c.saves }()
	default:
		return errOverloaded(what, fmt.Sprintf("%d backups are being taken", maxSaves))
	}
	if _, err := c.read(ss.Context(), what, &machine.Describe{}); err != nil { // of nothing: what came before it is applied
		return err
	}
	leadership, _ := c.cfg.Log.Leadership()
	snapshot := c.cfg.Replica.freeze()
	about := snapshot.About()
	out := &outflow{ss: ss, draining: c.draining, since: time.Now()}
	w, err := backup.NewWriter(out, backup.Header{
		Version:   c.cfg.Version,
		Cluster:   about.Cluster,
		Index:     about.Index,
		Term:      leadership.Term,
		Clock:     int64(about.Clock),
		Taken:     time.Now().UnixMilli(),
		Token:     uint64(about.Token),
		Sessions:  about.Sessions,
		Longest:   about.Longest,
		StateHash: fmt.Sprintf("%016x", about.Hash),
	})
	if err == nil {
		_, err = snapshot.WriteTo(w)
	}
	if err == nil {
		err = w.Close()
	}
	if out.err != nil {
		return out.err // without what it was said within
	}
	return err
}

// An outflow sends what is written to it.
type outflow struct {
	ss       grpc.ServerStreamingServer[coordv1.SaveSnapshotResponse]
	draining <-chan struct{}
	since    time.Time // the end of the last rest
	err      error
}

// Write is part of io.Writer. It waits for the reader.
func (o *outflow) Write(b []byte) (int, error) {
	rest := time.NewTimer(min(saveRests*time.Since(o.since), saveRest))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-o.ss.Context().Done():
		o.err = context.Cause(o.ss.Context())
	case <-o.draining:
		o.err = errStopping()
	}
	if o.err == nil {
		o.err = o.ss.Send(&coordv1.SaveSnapshotResponse{Data: b}) // which has encoded it when it returns
	}
	o.since = time.Now()
	if o.err != nil {
		return 0, o.err
	}
	return len(b), nil
}

// RestoreSnapshot implements coordv1.ClusterServiceServer. The pieces go through the log one
// after the other. Only the last command has an effect, and the machine takes it only if all
// pieces are there: if this node, its leadership or the client ends before it nothing has
// happened, and a restore begins anew.
func (c *cluster) RestoreSnapshot(ss grpc.ClientStreamingServer[coordv1.RestoreSnapshotRequest, coordv1.RestoreSnapshotResponse]) error {
	in, done := c.inflow(ss)
	defer done()
	file, err := backup.NewReader(in)
	if err != nil {
		return unreadable(err)
	}
	r := &restore{Server: c.Server, id: rand.Text(), file: file}
	if now := time.Now().UnixMilli(); now < file.Header().Taken {
		return errEarly(now, file.Header().Taken)
	}
	if err := r.ready(ss.Context()); err != nil {
		return err
	}
	if err := r.begin(ss.Context()); err != nil {
		return err
	}
	last, err := r.bring(ss.Context())
	if err != nil {
		r.abort()
		return err
	}
	out, err := r.finish(ss.Context(), last)
	if err != nil {
		return err
	}
	c.cfg.Logger.Info("restored from a backup", "of_cluster", out.From, "sessions_ended", out.Sessions,
		"sessions_open_in", time.Duration(out.Wait), "token_floor", out.Token)
	return ss.SendAndClose(&coordv1.RestoreSnapshotResponse{
		FromClusterId: out.From,
		SessionsEnded: out.Sessions,
		OpensIn:       durationOf(out.Wait),
		TokenFloor:    uint64(out.Token),
	})
}

// inflow reads what a client sends, until done is called or the server is to stop: nothing
// but the end of the handler ends a Recv.
func (c *cluster) inflow(ss grpc.ClientStreamingServer[coordv1.RestoreSnapshotRequest, coordv1.RestoreSnapshotResponse]) (in io.Reader, done func()) {
	r, w := io.Pipe()
	c.running.Go(func() {
		for {
			m, err := ss.Recv()
			if err == nil && len(m.GetData()) > machine.MaxPiece {
				err = invalid("restore snapshot: a message has more than %d bytes; send less", machine.MaxPiece)
			}
			if err == nil {
				_, err = w.Write(m.GetData())
			}
			if err != nil {
				_ = w.CloseWithError(err) // never fails; io.EOF is the end
				return
			}
		}
	})
	ended := make(chan struct{})
	c.running.Go(func() {
		select {
		case <-c.draining:
			_ = w.CloseWithError(errStopping()) // never fails
		case <-ended:
		}
	})
	return r, func() {
		close(ended)
		_ = r.Close() // never fails
	}
}

// A restore is one that is under way.
type restore struct {
	*Server
	id   string
	file *backup.Reader
}

const (
	restoring    = "restore snapshot"
	restoreAgain = "nothing is restored; restore it again"
	restoreMaybe = "it may be restored or not: look whether its objects are there, and restore it again if not"
)

// ready waits until the cluster uses what its members know: a new one does so soon, and may
// not know before what a backup has (SEMANTICS H2). Members that are fixed are of one version.
func (r *restore) ready(ctx context.Context) error {
	if r.cfg.Ask == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, upgradeWait)
	defer cancel()
	if r.cfg.Replica.awaitVersion(ctx, machine.Version) < restoreVersion {
		return errUnfit("a member does not know restores, or does not answer; start all members with this version of coordd")
	}
	return nil
}

func (r *restore) begin(ctx context.Context) error {
	return r.prepare(ctx, &machine.RestoreBegin{ID: r.id})
}

// bring stages the snapshot, and returns the command that makes it the state.
func (r *restore) bring(ctx context.Context) (*machine.RestoreFinish, error) {
	last := &machine.RestoreFinish{ID: r.id, Taken: r.file.Header().Taken}
	sum, buf := xxhash.New(), make([]byte, machine.MaxPiece)
	for n := uint64(0); ; n++ {
		size, err := io.ReadFull(r.file, buf)
		if size > 0 {
			_, _ = sum.Write(buf[:size]) // never fails
			last.Size += int64(size)
			piece := &machine.RestorePiece{ID: r.id, N: n, Data: string(buf[:size])}
			if err := r.prepare(ctx, piece); err != nil {
				return nil, err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // which here is that it ends within buf
			last.Sum = sum.Sum64()
			return last, nil
		case err != nil:
			return nil, unreadable(err)
		}
	}
}

func (r *restore) finish(ctx context.Context, last *machine.RestoreFinish) (machine.Restored, error) {
	last.Now = time.Now().UnixMilli()
	result, err := r.propose(ctx, restoring, restoreMaybe, last)
	if err != nil {
		return machine.Restored{}, err
	}
	return r.took(result, last)
}

// prepare makes one of the commands before the last. That it failed is known to be harmless,
// whatever became of it.
func (r *restore) prepare(ctx context.Context, c machine.Command) error {
	result, err := r.read(ctx, restoring, c)
	if err != nil {
		return err
	}
	_, err = r.took(result, c)
	return err
}

// abort forgets what is staged. If that fails the next restore does, or the next session.
func (r *restore) abort() {
	data := machine.AppendCommand(nil, &machine.RestoreAbort{ID: r.id})
	r.cfg.Log.Submit(data, 0, raftstore.Ordinary, func(uint64, any, error) {})
}

// took is what the machine said.
func (r *restore) took(result any, c machine.Command) (machine.Restored, error) {
	out, ok := result.(machine.Restored)
	if !ok {
		return out, unexpected(restoring, result)
	}
	return out, r.refusal(out, c)
}

// refusal is the status of a refused restore.
func (r *restore) refusal(out machine.Restored, c machine.Command) error {
	switch out.Code {
	case machine.RestoreDone:
		return nil
	case machine.RestoreUnready:
		return errNoLeader(restoring, "")
	case machine.RestoreInUse:
		return errInUse(out)
	case machine.RestoreSuperseded:
		return errUnfit("another restore began, or a session opened; " + restoreAgain)
	case machine.RestoreEarly:
		if last, ok := c.(*machine.RestoreFinish); ok {
			return errEarly(last.Now, last.Taken)
		}
	case machine.RestoreTooMuch:
		return Error(coordv1.Reason_REASON_LIMIT,
			fmt.Sprintf("%s: it is of more than %d bytes, the most that can be restored", restoring, machine.MaxStaged),
			map[string]string{metaLimit: "backup"})
	case machine.RestoreDamaged:
		return invalid("%s: %s; nothing is restored", restoring, out.Why)
	case machine.RestoreInvalid, machine.RestoreIncomplete: // this node made the commands
	}
	return unexpected(restoring, out)
}

func errUnfit(why string) error {
	return Error(coordv1.Reason_REASON_UNFIT, restoring+": "+why, nil)
}

func errInUse(out machine.Restored) error {
	what := fmt.Sprintf("%d sessions that live", out.Sessions)
	switch {
	case out.On != (park.Object{}):
		what = about(kindName(out.On.Kind), out.On.Name)
	case out.Sessions == 1:
		what = "a session that lives"
	}
	return errUnfit("the cluster is not empty: it has " + what + "; restore into a new one, before anybody uses it")
}

func errEarly(now, taken int64) error {
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
	return errUnfit(fmt.Sprintf("the leader's clock says %s and the backup was taken at %s; set the clock, "+
		"or tokens could repeat", at(now), at(taken)))
}

// unreadable is the status of a backup that cannot be read to its end: it is damaged, or its
// client is gone.
func unreadable(err error) error {
	if errors.Is(err, backup.ErrDamaged) {
		return invalid("%s: %v; nothing is restored", restoring, err)
	}
	return err
}

// errRestored refuses a session for as long as leases of before the restore may be believed.
func errRestored(what string, wait int64) error {
	d := time.Duration(wait)
	return Error(coordv1.Reason_REASON_RESTORED,
		fmt.Sprintf("%s: the cluster was restored from a backup and opens sessions in %s", what, roundUp(d)), nil,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
}

// roundUp is for people, who must not come too early.
func roundUp(d time.Duration) time.Duration {
	unit := time.Second
	if d < time.Second {
		unit = time.Millisecond
	}
	return (d + unit - 1).Truncate(unit)
}

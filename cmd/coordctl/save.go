package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/backup"
	"coordd.dev/internal/durable"
)

// saveToStdout verifies what it writes on the way: whoever reads it must look at the exit code.
func (a *app) saveToStdout(ctx context.Context) error {
	r, done, err := a.openSave(ctx, "snapshot save -")
	if err != nil {
		return err
	}
	defer done()
	h, size, err := backup.Inspect(io.TeeReader(r, answerWriter{a.stdout}))
	if err != nil {
		return r.failure(stdio, err)
	}
	fmt.Fprintf(a.stderr, "coordctl: saved %s\n", backupViewOf(stdio, h, size))
	return nil
}

// answerWriter says of an error that it is of the answer.
type answerWriter struct{ w io.Writer }

func (w answerWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	return n, unwritten(err)
}

func (a *app) saveToFile(ctx context.Context, path string, force bool) error {
	if _, err := os.Lstat(path); err == nil && !force {
		return &failure{what: "snapshot save " + show(path), why: "it is there already", next: "give another name, or --force", code: exitFailed}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(path, err)
	}
	r, done, err := a.openSave(ctx, "snapshot save "+show(path))
	if err != nil {
		return err
	}
	defer done()
	partial := path + ".partial"
	h, size, err := a.writePartial(partial, r)
	if err != nil {
		_ = os.Remove(partial) // it is of no use
		return r.failure(path, err)
	}
	if err := os.Rename(partial, path); err != nil {
		return unwritable(path, err)
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return unwritable(path, err)
	}
	v := backupViewOf(path, h, size)
	fmt.Fprintf(a.stderr, "coordctl: saved %s: %s\n", show(path), v)
	if a.output == asJSON {
		return a.render(v, nil)
	}
	return nil
}

// writePartial writes a backup, has it on disk, and reads it again to verify it.
func (a *app) writePartial(path string, from io.Reader) (h backup.Header, size int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return h, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p := a.progress("saving")
	_, err = io.Copy(f, io.TeeReader(from, p))
	p.end()
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return h, 0, err
	}
	return backup.Inspect(f)
}

// A saveReader reads a backup from the cluster.
type saveReader struct {
	what, target string
	stream       grpc.ServerStreamingClient[coordv1.SaveSnapshotResponse]
	patience     *patience
	ctx          context.Context //nolint:containedctx // of the stream, to ask why it ended
	rest         []byte
	failed       error // of the stream
}

// openSave asks one node after another for a backup, until one begins it. done is to be called.
func (a *app) openSave(ctx context.Context, what string) (r *saveReader, done func(), err error) {
	n, err := a.nodes()
	if err != nil {
		return nil, nil, err
	}
	for left := len(n.targets); left > 0; left-- {
		conn, err := n.conn()
		if err != nil {
			n.close()
			return nil, nil, err
		}
		r, cancel := a.startSave(ctx, conn, what, n.targets[n.at])
		if r.failed == nil {
			return r, func() { cancel(nil); n.close() }, nil
		}
		cancel(nil)
		if left == 1 || !elsewhere(r.failed) {
			n.close()
			return nil, nil, backupError(what, n.String(), r.failed)
		}
		n.next()
	}
	panic("coordctl: no endpoints") // which nodes refuses
}

// startSave asks a node, and waits for the first bytes.
func (a *app) startSave(ctx context.Context, conn grpc.ClientConnInterface, what, target string) (*saveReader, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &saveReader{what: what, target: target, ctx: ctx, patience: newPatience(time.Duration(a.timeout), cancel)}
	r.stream, r.failed = coordv1.NewClusterServiceClient(conn).SaveSnapshot(ctx, &coordv1.SaveSnapshotRequest{})
	if r.failed == nil {
		r.fill()
	}
	return r, cancel
}

// fill takes the next message. How long what is written to takes is not the cluster's fault.
func (r *saveReader) fill() {
	r.patience.begin()
	m, err := r.stream.Recv()
	r.patience.end()
	r.rest = m.GetData()
	r.failed = silence(r.ctx, err)
}

// silence has an error of a call say that it was not answered in time, if that is why.
func silence(ctx context.Context, err error) error {
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(ctx), errStalled) {
		return status.Error(codes.DeadlineExceeded, errStalled.Error())
	}
	return err
}

// Read is part of io.Reader.
func (r *saveReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 && r.failed == nil {
		r.fill()
	}
	if len(r.rest) == 0 {
		return 0, r.failed
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// failure is why there is no backup: the cluster's failure, that of what was written, or both
// did what they should and it is damaged all the same.
func (r *saveReader) failure(path string, err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if exit, ok := errors.AsType[exitCode](err); ok {
		return exit
	}
	if r.failed != nil && !errors.Is(r.failed, io.EOF) {
		return backupError(r.what, r.target, r.failed)
	}
	return unwritable(path, err)
}

// A progress tells the person at the terminal how much is done.
type progress struct {
	app  *app
	verb string
	n    int64
	told time.Time
}

func (a *app) progress(verb string) *progress { return &progress{app: a, verb: verb, told: time.Now()} }

// Write counts; it is part of io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if isTerminal(p.app.stderr) && time.Since(p.told) > quiet {
		fmt.Fprintf(p.app.stderr, "\rcoordctl: %s: %s\x1b[K", p.verb, sized(p.n))
		p.told = time.Now().Add(200*time.Millisecond - quiet)
	}
	return len(b), nil
}

// end takes the line away.
func (p *progress) end() {
	if isTerminal(p.app.stderr) {
		fmt.Fprint(p.app.stderr, "\r\x1b[K")
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/backup"
)

const (
	// restoreMessage is how much goes in one message.
	restoreMessage = 64 << 10

	// restorePatience is how long the cluster may take, at least, once it has all.
	restorePatience = time.Minute
)

// restoreFile verifies a backup, all of it, and sends it only then.
func (a *app) restoreFile(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return unreadable("restore", path, err)
	}
	defer f.Close()
	h, size, err := backup.Inspect(f)
	if err != nil {
		return unreadable("restore", path, err)
	}
	out, err := a.sendBackup(ctx, "snapshot restore "+show(path), f)
	if err != nil {
		return err
	}
	v := restoredView{Backup: backupViewOf(path, h, size), Sessions: out.GetSessionsEnded(),
		Wait: out.GetOpensIn().AsDuration().String(), Token: strconv.FormatUint(out.GetTokenFloor(), 10)}
	opens := "sessions open at once"
	if wait := out.GetOpensIn().AsDuration(); wait > 0 {
		opens = "sessions open in " + wait.Round(time.Millisecond).String()
	}
	fmt.Fprintf(a.stderr, "coordctl: restored %s: %s\ncoordctl: %s ended; tokens go on above %s; %s\n",
		show(path), v.Backup, plural(int(v.Sessions), "session"), v.Token, opens)
	if a.output == asJSON {
		return a.render(v, nil)
	}
	return nil
}

type restoredView struct {
	Backup   backupView `json:"backup"`
	Sessions int64      `json:"sessions_ended"`
	Wait     string     `json:"sessions_open_in"`
	Token    string     `json:"token_floor"`
}

// sendBackup has one node after another restore a backup, until one knows the leader. Nothing
// was restored by one that did not.
func (a *app) sendBackup(ctx context.Context, what string, f io.ReadSeeker) (*coordv1.RestoreSnapshotResponse, error) {
	n, err := a.nodes()
	if err != nil {
		return nil, err
	}
	defer n.close()
	for left := len(n.targets); ; left-- {
		conn, err := n.conn()
		if err != nil {
			return nil, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, &failure{what: what, why: err.Error(), code: exitFailed}
		}
		out, sent, err := a.tryRestore(ctx, conn, f)
		if err == nil {
			return out, nil
		}
		unsure := sent && mayHaveHappened(err) // all of it was there
		if left == 1 || unsure || !elsewhere(err) {
			fail := backupError(what, n.String(), err)
			fail.unheard = unsure
			return nil, changing(fail)
		}
		n.next()
	}
}

// tryRestore sends a backup to one node; sent says that it was sent to its end.
func (a *app) tryRestore(ctx context.Context, conn grpc.ClientConnInterface, f io.Reader) (out *coordv1.RestoreSnapshotResponse, sent bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newPatience(time.Duration(a.timeout), cancel)
	stream, err := coordv1.NewClusterServiceClient(conn).RestoreSnapshot(ctx)
	p.end()
	if err != nil {
		return nil, false, silence(ctx, err)
	}
	told := a.progress("restoring")
	for buf := make([]byte, restoreMessage); ; {
		n, err := f.Read(buf)
		if errors.Is(err, io.EOF) {
			sent = true
			break
		}
		if err != nil {
			return nil, false, err
		}
		_, _ = told.Write(buf[:n]) // never fails
		p.begin()
		err = stream.Send(&coordv1.RestoreSnapshotRequest{Data: buf[:n]})
		p.end()
		if err != nil {
			break // the answer says why
		}
	}
	told.end()
	p = newPatience(max(time.Duration(a.timeout), restorePatience), cancel)
	defer p.end()
	out, err = stream.CloseAndRecv()
	return out, sent, silence(ctx, err)
}

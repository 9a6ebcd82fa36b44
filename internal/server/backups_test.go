package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/backup"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// save takes a backup.
func save(t *testing.T, conn grpc.ClientConnInterface) []byte {
	t.Helper()
	stream, err := coordv1.NewClusterServiceClient(conn).SaveSnapshot(t.Context(), &coordv1.SaveSnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return rest(t, stream)
}

// rest is what a save has not yet sent.
func rest(t *testing.T, stream grpc.ServerStreamingClient[coordv1.SaveSnapshotResponse]) []byte {
	t.Helper()
	var file []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return file
		}
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, m.GetData()...)
	}
}

// restore sends a backup in messages of n bytes.
func restore(ctx context.Context, conn grpc.ClientConnInterface, file []byte, n int) (*coordv1.RestoreSnapshotResponse, error) {
	stream, err := coordv1.NewClusterServiceClient(conn).RestoreSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	for len(file) > 0 {
		n := min(n, len(file))
		if stream.Send(&coordv1.RestoreSnapshotRequest{Data: file[:n]}) != nil {
			break // CloseAndRecv says why
		}
		file = file[n:]
	}
	return stream.CloseAndRecv()
}

// another starts a node that leads a cluster of its own, which is new.
func another(t *testing.T) *node {
	t.Helper()
	n := start(t, func(c *server.Config, _ *raftstore.Config) { c.ClusterID = "c2" })
	n.engine.lead()
	synctest.Wait()
	return n
}

// fill stores so many values of 60 KB.
func (p *plain) fill(from, n int) {
	p.t.Helper()
	for i := from; i < from+n; i++ {
		_, err := p.maps.Update(p.t.Context(), &coordv1.UpdateRequest{Lease: p.lease, RequestId: fmt.Sprint("fill-", i), Op: &coordv1.MapOp{
			Name: fmt.Sprint("m", i/8), Verb: coordv1.MapVerb_MAP_VERB_STORE, Key: fmt.Append(nil, i), Value: bytes.Repeat([]byte{byte(i)}, 60_000),
		}})
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// mended is a backup made anew, with another header or content.
func mended(t *testing.T, file []byte, change func(*backup.Header, []byte) []byte) []byte {
	t.Helper()
	r, err := backup.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	h := r.Header()
	content = change(&h, content)
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What was acknowledged is in a backup, and after a restore again, but for its sessions; and
// sessions open, of both kinds, once the longest lease has run out.
func TestSaveAndRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := leading(t)
		c := open(t, old.api, 1) // with a TTL of 10 s
		held := c.want(c.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		openPlainFor(t, old.conn, 5*time.Second).fill(0, 8)
		file := save(t, old.conn)
		h, size, err := backup.Inspect(bytes.NewReader(file))
		if err != nil || size != int64(len(file)) {
			t.Fatalf("%d of %d bytes are as written: %v", size, len(file), err)
		}
		state := old.replica.State()
		if h.Cluster != "c1" || h.Index != state.Index || h.Sessions != 2 || h.Longest != int64(10*time.Second) ||
			h.Token != held.GetToken() || h.StateHash != fmt.Sprintf("%016x", state.Hash) || h.Version != "test" || h.Term != 1 {
			t.Errorf("the header is %+v", h)
		}

		n := another(t)
		out, err := restore(t.Context(), n.conn, file, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if out.GetFromClusterId() != "c1" || out.GetSessionsEnded() != 2 || out.GetOpensIn().AsDuration() != 10*time.Second ||
			out.GetTokenFloor() < held.GetToken() {
			t.Errorf("restored: %v", out)
		}
		if state := n.replica.State(); state.Cluster != "c2" || state.Counts != (machine.Counts{}) {
			t.Errorf("the state is %+v", state)
		}

		again := &client{t: t, api: n.api, instance: 1, epoch: 1}
		_, err = again.attach(&coordv1.Attach{Ttl: durationpb.New(testTTL)})
		wantRestored(t, err, 10*time.Second)
		time.Sleep(9 * time.Second)
		_, err = n.api.OpenSession(t.Context(), &coordv1.OpenSessionRequest{})
		wantRestored(t, err, time.Second)
		time.Sleep(time.Second)
		got := open(t, n.api, 2).take(lockOp("x"))
		if got.GetToken() <= out.GetTokenFloor() {
			t.Errorf("token %d, and the floor is %d", got.GetToken(), out.GetTokenFloor())
		}
		p := openPlain(t, n.conn)
		v, err := p.maps.Load(t.Context(), &coordv1.LoadRequest{Name: "m0", Key: []byte("7")})
		if err != nil || len(v.GetValue()) != 60_000 {
			t.Errorf("the map has %d bytes, error %v", len(v.GetValue()), err)
		}
	})
}

func (c *client) take(op *coordv1.Op) *coordv1.Outcome {
	return c.want(c.send(op), coordv1.Code_CODE_GRANTED)
}

func wantRestored(t *testing.T, err error, wait time.Duration) {
	t.Helper()
	wantReason(t, err, coordv1.Reason_REASON_RESTORED)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the code is %v", status.Code(err))
	}
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			if got := r.GetRetryDelay().AsDuration(); got > wait || got < wait-100*time.Millisecond {
				t.Errorf("it opens in %v, not in %v: %v", got, wait, err)
			}
			return
		}
	}
	t.Errorf("it does not say when to retry: %v", err)
}

// Through another node than the leader it is the same, whoever reads slowly.
func TestBackupsThroughFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		follower := c.conns[(leader+1)%3]
		file := save(t, follower)
		out, err := restore(t.Context(), follower, file, 100_000)
		if err != nil || out.GetFromClusterId() != "c1" {
			t.Fatalf("restored: %v, %v", out, err)
		}
		time.Sleep(time.Second) // until all have applied it
		for _, n := range c.nodes {
			if n.replica.Hash() != c.nodes[leader].replica.Hash() {
				t.Errorf("%s has another state than %s", n.id, c.nodes[leader].id)
			}
		}
	})
}

// A backup is of one moment, however slowly it is read, and as many are taken at a time as may.
func TestSlowSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		p.fill(0, 10)
		api := coordv1.NewClusterServiceClient(n.conn)
		var saves []grpc.ServerStreamingClient[coordv1.SaveSnapshotResponse]
		for range 2 {
			other := dial(t, n.lis) // what is not read fills the connection
			defer other.Close()
			s, err := coordv1.NewClusterServiceClient(other).SaveSnapshot(t.Context(), &coordv1.SaveSnapshotRequest{})
			if err != nil {
				t.Fatal(err)
			}
			saves = append(saves, s)
		}
		synctest.Wait()
		state := n.replica.State()
		third, err := api.SaveSnapshot(t.Context(), &coordv1.SaveSnapshotRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = third.Recv()
		wantReason(t, err, coordv1.Reason_REASON_OVERLOADED)
		p.fill(10, 10)
		file := rest(t, saves[0])
		if h, _, err := backup.Inspect(bytes.NewReader(file)); err != nil || h.Index > state.Index || h.Index+1 < state.Index {
			t.Errorf("it is of index %d, it was asked for at %d: %v", h.Index, state.Index, err)
		}
		rest(t, saves[1])
		save(t, n.conn) // there is room again
		if _, err := restore(t.Context(), another(t).conn, file, 1<<16); err != nil {
			t.Error(err)
		}
	})
}

// A restore that is refused, or damaged, or whose client goes away leaves nothing: the next
// one works.
func TestRestoreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := leading(t)
		openPlain(t, old.conn).fill(0, 8)
		file := save(t, old.conn)
		n := another(t)
		refused := func(what string, reason coordv1.Reason, file []byte, size int) {
			t.Helper()
			_, err := restore(t.Context(), n.conn, file, size)
			if infoOf(err).GetReason() != reason.String()[len("REASON_"):] {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := restore(t.Context(), old.conn, file, 10_000)
		wantReason(t, err, coordv1.Reason_REASON_UNFIT)
		flipped := bytes.Clone(file)
		flipped[len(file)-1000] ^= 1
		refused("flipped", coordv1.Reason_REASON_INVALID, flipped, 10_000)
		refused("cut short", coordv1.Reason_REASON_INVALID, file[:len(file)-1], 10_000)
		refused("nothing", coordv1.Reason_REASON_INVALID, nil, 10_000)
		refused("long messages", coordv1.Reason_REASON_INVALID, file, machine.MaxPiece+1)
		refused("of tomorrow", coordv1.Reason_REASON_UNFIT, mended(t, file, func(h *backup.Header, c []byte) []byte {
			h.Taken = time.Now().Add(time.Hour).UnixMilli()
			return c
		}), 10_000)
		refused("no snapshot", coordv1.Reason_REASON_INVALID, mended(t, file, func(_ *backup.Header, c []byte) []byte {
			return c[:len(c)-1]
		}), 10_000)

		ctx, cancel := context.WithCancel(t.Context())
		stream, err := coordv1.NewClusterServiceClient(n.conn).RestoreSnapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			if err := stream.Send(&coordv1.RestoreSnapshotRequest{Data: file[i*10_000 : (i+1)*10_000]}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // a piece is staged
		cancel()
		synctest.Wait()
		if !wantLast[*machine.RestoreAbort](t, n) {
			t.Error("what a client that went away has brought stays")
		}
		if _, err := restore(t.Context(), n.conn, file, 10_000); err != nil {
			t.Error(err)
		}
	})
}

// wantLast says whether the last entry has one command, of a type.
func wantLast[C machine.Command](t *testing.T, n *node) bool {
	t.Helper()
	n.engine.mu.Lock()
	defer n.engine.mu.Unlock()
	e, err := raftstore.DecodeEntry(n.engine.entries[len(n.engine.entries)-1])
	if err != nil || len(e.Commands) != 1 {
		return false
	}
	c, err := machine.DecodeCommand(e.Commands[0])
	_, ok := c.(C)
	return ok && err == nil
}

// Only of the last command does it matter that its outcome is unknown.
func TestRestoreUnknown(t *testing.T) {
	for _, test := range []struct {
		what   string
		steps  int // entries that are let through
		reason coordv1.Reason
	}{
		{"begin", 0, coordv1.Reason_REASON_NO_LEADER},
		{"piece", 1, coordv1.Reason_REASON_NO_LEADER},
		{"finish", 2, coordv1.Reason_REASON_UNKNOWN_OUTCOME},
	} {
		synctest.Test(t, func(t *testing.T) {
			file := save(t, leading(t).conn)
			n := another(t)
			release := n.engine.holdBack()
			failed := make(chan error, 1)
			go func() {
				_, err := restore(t.Context(), n.conn, file, 10_000)
				failed <- err
			}()
			synctest.Wait()
			for range test.steps {
				release = n.engine.holdNext(release)
				synctest.Wait()
			}
			n.engine.failNext(raftstore.ErrUnknown)
			release()
			err := <-failed
			if infoOf(err).GetReason() != test.reason.String()[len("REASON_"):] {
				t.Errorf("%s: %v", test.what, err)
			}
		})
	}
}

// A watch is told, by the state that is there then, of what a restore brought; and one of the
// old cluster goes on in the new one with what it missed.
func TestWatchThroughRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := leading(t)
		openPlain(t, old.conn).fill(0, 1)
		file := save(t, old.conn)
		n := another(t)
		on := &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_MAP, Name: "m0"}
		w, err := coordv1.NewInspectServiceClient(n.conn).Watch(t.Context(), on)
		if err != nil {
			t.Fatal(err)
		}
		first, err := w.Recv()
		if err != nil || first.GetPresent().GetStored() {
			t.Fatalf("at first: %v, %v", first, err)
		}
		if _, err := restore(t.Context(), n.conn, file, 10_000); err != nil {
			t.Fatal(err)
		}
		told, err := w.Recv()
		if err != nil || told.GetSkipped() == 0 || told.GetPresent() == nil || told.GetRevision() <= first.GetRevision() {
			t.Fatalf("after the restore: %v, %v", told, err)
		}
		on.After = proto.Uint64(1_000_000) // a change of the old cluster after the backup
		late, err := coordv1.NewInspectServiceClient(n.conn).Watch(t.Context(), on)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := late.Recv(); err != nil || m.GetSkipped() == 0 || m.GetPresent() == nil {
			t.Errorf("a watch of the old cluster: %v, %v", m, err)
		}
	})
}

// A node that leads no more, and does not know it, has no backup to give: what others have
// acknowledged since would not be in it.
func TestSaveOfALeaderThatIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		n.engine.failNext(raftstore.ErrNotLeader)
		stream, err := coordv1.NewClusterServiceClient(n.conn).SaveSnapshot(t.Context(), &coordv1.SaveSnapshotRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
	})
}

// A restore waits until the members of a new cluster have said what they know, and is refused if
// one does not know it.
func TestRestoreWaitsForVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCompany(t, func(r *server.Replica) raftstore.Machine { return r })
		k.know(1)
		k.start()
		conn := k.conns[k.leader()]
		file := save(t, conn)
		_, err := restore(t.Context(), conn, file, 10_000)
		wantReason(t, err, coordv1.Reason_REASON_UNFIT)
		go func() {
			time.Sleep(5 * time.Second)
			k.know(0)
		}()
		if _, err := restore(t.Context(), conn, file, 10_000); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // until the goroutine is over
	})
}

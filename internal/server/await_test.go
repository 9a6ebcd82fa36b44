package server_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// A node that waits for a backup opens no session, of either kind and whoever passes it on, and is
// not ready; what it may be asked meanwhile, it answers. It goes on from the backup, also as a
// node that starts from a snapshot.
func TestAwaitRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := leading(t)
		openPlainFor(t, old.conn, 5*time.Second).fill(0, 1)
		file := save(t, old.conn)
		n := start(t, func(c *server.Config, _ *raftstore.Config) { c.ClusterID, c.AwaitRestore = "c2", true })
		n.engine.lead()
		synctest.Wait()
		if err := n.server.Ready(); err == nil || !strings.Contains(err.Error(), "waits for a backup: coordctl snapshot restore") {
			t.Errorf("ready: %v", err)
		}
		health := healthv1.NewHealthClient(n.conn)
		fit := func() bool {
			r, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{})
			return err == nil && r.GetStatus() == healthv1.HealthCheckResponse_SERVING
		}
		if fit() {
			t.Error("its health service says that it may be used")
		}
		passed := n.passedOn()
		defer passed.Close()
		for _, conn := range []*grpc.ClientConn{n.conn, passed} {
			api := coordv1.NewSessionServiceClient(conn)
			_, err := (&client{t: t, api: api, instance: 1}).attach(&coordv1.Attach{Ttl: durationpb.New(testTTL)})
			wantRestored(t, err, time.Second)
			_, err = api.OpenSession(t.Context(), &coordv1.OpenSessionRequest{})
			wantRestored(t, err, time.Second)
		}
		if _, err := coordv1.NewInspectServiceClient(n.conn).ListObjects(t.Context(), &coordv1.ListObjectsRequest{}); err != nil {
			t.Error(err)
		}
		save(t, n.conn)

		out, err := restore(t.Context(), n.conn, file, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := n.server.Ready(); err != nil || !fit() {
			t.Errorf("it has its backup and is not ready: %v", err)
		}
		time.Sleep(out.GetOpensIn().AsDuration())
		open(t, n.api, 2).take(lockOp("x"))

		var kept bytes.Buffer
		if err := n.replica.Snapshot().Persist(&kept); err != nil {
			t.Fatal(err)
		}
		again := server.NewReplica()
		if err := again.Restore(&kept); err != nil || !again.State().Restored || old.replica.State().Restored {
			t.Errorf("restored, by a node's snapshot: %v, %v; by the old cluster: %v",
				again.State().Restored, err, old.replica.State().Restored)
		}
	})
}

package python

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/test/daemons"
)

const (
	limit  = 8 * time.Minute // ends a test that hangs
	object = "counted"
)

const packages = "python3-grpcio python3-protobuf protobuf-compiler protobuf-compiler-grpc libprotobuf-dev"

// python returns an interpreter that has grpcio, or ends the test.
func python(t *testing.T) string {
	t.Helper()
	missing := func(what string) {
		message := fmt.Sprintf("examples/python: there is no %s: apt-get install %s", what, packages)
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip("SKIPPED: " + message)
	}
	for _, tool := range []string{"protoc", "grpc_python_plugin"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(tool)
		}
	}
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(t.Context(), name, "-c", "import grpc, google.protobuf").Run() == nil {
			return name
		}
	}
	missing("python3 with grpc and google.protobuf")
	return ""
}

// output is what programs print, together.
type output struct {
	mu      sync.Mutex
	buffers []bytes.Buffer
	changed chan struct{} // has a token when there is more
}

// writer is program i's end.
type writer struct {
	out *output
	i   int
}

func (w writer) Write(b []byte) (int, error) {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	n, err := w.out.buffers[w.i].Write(b)
	select {
	case w.out.changed <- struct{}{}:
	default:
	}
	return n, err
}

func (o *output) of(i int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffers[i].String()
}

// await waits until programs have printed so many lines like "round" more than before.
func (o *output) await(ctx context.Context, t *testing.T, more int) {
	t.Helper()
	count := func() (n int) {
		for i := range o.buffers {
			n += strings.Count(o.of(i), "\nround ")
		}
		return n
	}
	for want := count() + more; count() < want; {
		select {
		case <-o.changed:
		case <-ctx.Done():
			t.Fatalf("the programs stand still: %v", ctx.Err())
		}
	}
}

func TestRetriesChangeNothingTwice(t *testing.T) {
	interpreter := python(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	stubs := exec.CommandContext(ctx, "sh", "../../examples/python/stubs.sh", dir+"/stubs")
	if out, err := stubs.CombinedOutput(); err != nil {
		t.Fatalf("make stubs: %v\n%s", err, out)
	}
	binary, err := daemons.Build(ctx, "coordd.dev/cmd/coordd", dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := daemons.Start(ctx, binary, dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}()

	warmUp(ctx, t, c)
	const programs = 3
	out := &output{buffers: make([]bytes.Buffer, programs), changed: make(chan struct{}, 1)}
	var running sync.WaitGroup
	failed := make([]error, programs)
	processes := make([]*os.Process, programs)
	for i := range programs {
		cmd := exec.CommandContext(ctx, interpreter, "-u", "../../examples/python/hold.py",
			"--stubs", dir+"/stubs", "--endpoints", c.Target(), "--name", object, "--who", fmt.Sprint("program ", i),
			"--ttl", "3600", "--wait", "3600", "--rounds", "0", "--unreliable", fmt.Sprint(i))
		cmd.Stdout, cmd.Stderr = writer{out, i}, writer{out, i}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes[i] = cmd.Process
		running.Go(func() { failed[i] = cmd.Wait() })
	}
	for range 2 {
		out.await(ctx, t, 10)
		killLeader(ctx, t, c)
	}
	out.await(ctx, t, 10)
	for _, p := range processes {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	running.Wait()

	var all tally
	for i := range programs {
		if failed[i] != nil {
			t.Errorf("program %d: %v\n%s", i, failed[i], out.of(i))
		} else if err := all.add(out.of(i)); err != nil {
			t.Errorf("program %d: %v\n%s", i, err, out.of(i))
		}
		t.Log(endLine.FindString(out.of(i)))
	}
	changes := record(ctx, t, c)
	for _, fault := range all.faults(changes, object) {
		t.Error(fault)
	}
	t.Logf("%d rounds, %d changes", all.rounds, len(changes))
}

// warmUp makes the first change, which a watch of all that came after it does not tell.
func warmUp(ctx context.Context, t *testing.T, c *daemons.Cluster) {
	t.Helper()
	conn := dial(ctx, t, c)
	defer conn.Close()
	opened, err := coordv1.NewSessionServiceClient(conn).OpenSession(ctx, &coordv1.OpenSessionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := coordv1.NewLockServiceClient(conn).Lock(ctx, &coordv1.LockRequest{
		Lease: opened.GetLease(), RequestId: "1", Names: []string{"warm-up"},
	}); err != nil {
		t.Fatal(err)
	}
}

// dial connects to the leader.
func dial(ctx context.Context, t *testing.T, c *daemons.Cluster) *grpc.ClientConn {
	t.Helper()
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(leader.Client, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// killLeader kills the leader with SIGKILL, waits for the next, and starts it again.
func killLeader(ctx context.Context, t *testing.T, c *daemons.Cluster) {
	t.Helper()
	old, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Leader(ctx); err != nil {
		t.Fatal(err)
	}
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	if err := old.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// record reads all changes there have been, of which none may be missing.
func record(ctx context.Context, t *testing.T, c *daemons.Cluster) []*coordv1.ObjectChange {
	t.Helper()
	conn := dial(ctx, t, c)
	defer conn.Close()
	last := lastRevision(ctx, t, conn)
	ctx, cancel := context.WithCancel(ctx) // or the watch would not end
	defer cancel()
	watch, err := coordv1.NewInspectServiceClient(conn).Watch(ctx, &coordv1.WatchRequest{After: proto.Uint64(1)})
	if err != nil {
		t.Fatal(err)
	}
	var changes []*coordv1.ObjectChange
	for {
		r, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetSkipped() != 0 {
			t.Fatalf("%d changes are missing in the record", r.GetSkipped())
		}
		changes = append(changes, r.GetChanges()...)
		if r.GetRevision() >= last {
			return changes
		}
	}
}

func lastRevision(ctx context.Context, t *testing.T, conn grpc.ClientConnInterface) uint64 {
	t.Helper()
	r, err := coordv1.NewInspectServiceClient(conn).DescribeObject(ctx,
		&coordv1.DescribeObjectRequest{Kind: coordv1.Kind_KIND_SEMAPHORE, Name: object})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetDescription().GetRevision()
}

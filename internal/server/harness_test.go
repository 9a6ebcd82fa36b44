package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/park"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// engine is a log of one node that applies at once, leads when told, and fails when told.
type engine struct {
	machine raftstore.Machine
	closed  chan struct{}

	mu      sync.Mutex
	index   uint64
	entries [][]byte
	state   raftstore.State
	changed chan struct{}
	members []raftstore.Member
	fail    error         // of the next Append, which is not applied
	hold    chan struct{} // Append waits for it, if it is not nil
	pace    time.Duration // what an Append takes
}

func newEngine(m raftstore.Machine) *engine {
	return &engine{
		machine: m,
		closed:  make(chan struct{}),
		changed: make(chan struct{}),
		state:   raftstore.State{CaughtUp: true},
		members: []raftstore.Member{{ID: "n1", Address: "peer1", Voter: true}},
	}
}

func (e *engine) Append(ctx context.Context, data []byte) (uint64, []any, error) {
	e.mu.Lock()
	hold, pace := e.hold, e.pace
	e.mu.Unlock()
	time.Sleep(pace)
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return 0, nil, raftstore.ErrUnknown
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.fail; err != nil {
		e.fail = nil
		return 0, nil, err
	}
	if !e.state.Leader {
		return 0, nil, raftstore.ErrNotLeader
	}
	e.index++
	e.entries = append(e.entries, data)
	entry, err := raftstore.DecodeEntry(data)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", raftstore.ErrUnknown, err)
	}
	results, err := e.machine.Apply(e.index, entry)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", raftstore.ErrUnknown, err)
	}
	return e.index, results, nil
}

func (e *engine) State() (raftstore.State, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state, e.changed
}

func (e *engine) set(change func(*raftstore.State)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.state)
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *engine) lead() {
	e.set(func(s *raftstore.State) { s.Term++; s.Leader, s.LeaderID = true, "n1" })
}

func (e *engine) follow(leader string) {
	e.set(func(s *raftstore.State) { s.Term++; s.Leader, s.LeaderID = false, leader })
}

// slow makes every entry take so long from now on.
func (e *engine) slow(pace time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pace = pace
}

func (e *engine) failNext(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = err
}

// holdBack keeps entries back from now on.
func (e *engine) holdBack() (release func()) { return e.holdNext(func() {}) }

// holdNext keeps entries back from now on, but for those that let go lets go.
func (e *engine) holdNext(letGo func()) (release func()) {
	hold := make(chan struct{})
	e.mu.Lock()
	e.hold = hold
	e.mu.Unlock()
	letGo()
	return func() {
		e.mu.Lock()
		if e.hold == hold {
			e.hold = nil
		}
		e.mu.Unlock()
		close(hold)
	}
}

func (e *engine) appended() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.entries)
}

func (e *engine) Members() []raftstore.Member {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.members)
}

func (e *engine) SetMember(_ context.Context, m raftstore.Member) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, old := range e.members {
		if old.ID == m.ID {
			m.Voter = m.Voter || old.Voter
			e.members[i] = m
			return nil
		}
	}
	e.members = append(e.members, m)
	return nil
}

func (e *engine) RemoveMember(_ context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.members = slices.DeleteFunc(e.members, func(m raftstore.Member) bool { return m.ID == id })
	return nil
}

func (e *engine) Transfer(_ context.Context, id string) error {
	if len(e.Members()) == 1 {
		return errors.New("nobody to transfer to")
	}
	if id == "" {
		id = "n2"
	}
	e.follow(id)
	return nil
}

func (e *engine) Snapshot(context.Context) error { return nil }
func (e *engine) Name() string                   { return "fake" }
func (e *engine) Failed() <-chan struct{}        { return nil }
func (e *engine) Err() error                     { return nil }
func (e *engine) Close() error                   { return nil }

// node is a server on a fake engine, and a connection to it.
type node struct {
	t       *testing.T
	engine  *engine
	log     *raftstore.Log
	replica *server.Replica
	server  *server.Server
	lis     *bufconn.Listener
	served  chan error
	conn    *grpc.ClientConn
	api     coordv1.SessionServiceClient
}

// start starts a node that follows nobody, with the log and config the tests of a fault
// need.
func start(t *testing.T, change func(*server.Config, *raftstore.Config)) *node {
	t.Helper()
	return startIn(t, raftstore.State{CaughtUp: true}, change)
}

// startBehind is start of a node that has yet to catch up with the log.
func startBehind(t *testing.T, change func(*server.Config, *raftstore.Config)) *node {
	t.Helper()
	return startIn(t, raftstore.State{}, change)
}

func startIn(t *testing.T, state raftstore.State, change func(*server.Config, *raftstore.Config)) *node {
	t.Helper()
	n := &node{t: t, replica: server.NewReplica(), lis: bufconn.Listen(1 << 16), served: make(chan error, 1)}
	n.engine = newEngine(n.replica)
	n.engine.state = state
	cfg := server.Config{
		Replica: n.replica, NodeID: "n1", NodeName: "one", ClusterID: "c1", Version: "test",
		Locate: func(_ context.Context, id string) (string, error) { return "addr-" + id, nil },
		Dial:   func(context.Context, string) (net.Conn, error) { return nil, errors.New("no network") },
		Logger: slog.New(slog.DiscardHandler),
	}
	var logCfg raftstore.Config
	if change != nil {
		change(&cfg, &logCfg)
	}
	n.log = raftstore.NewLog(n.engine, logCfg)
	cfg.Log = n.log
	var err error
	if n.server, err = server.New(cfg); err != nil {
		t.Fatal(err)
	}
	go func() { n.served <- n.server.Serve(n.lis) }()
	n.conn = dial(t, n.lis)
	n.api = coordv1.NewSessionServiceClient(n.conn)
	t.Cleanup(n.stop)
	return n
}

// passedOn is a connection on which another node passes on calls.
func (n *node) passedOn() *grpc.ClientConn {
	lis := bufconn.Listen(1 << 16)
	go func() { _ = n.server.Serve(server.Passed(lis)) }()
	return dial(n.t, lis)
}

func dial(t *testing.T, lis *bufconn.Listener) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///bufnet",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// Else they grow with what the network is seen to carry, and one who does not read
		// would be sent any amount.
		grpc.WithStaticStreamWindowSize(64<<10),
		grpc.WithStaticConnWindowSize(64<<10),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// leading starts a node that leads a founded cluster.
func leading(t *testing.T) *node {
	t.Helper()
	n := start(t, nil)
	n.engine.lead()
	synctest.Wait()
	if err := n.server.Ready(); err != nil {
		t.Fatalf("not ready: %v", err)
	}
	return n
}

func (n *node) stop() {
	_ = n.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := n.server.Stop(ctx); err != nil {
		n.t.Errorf("stop: %v", err)
	}
	if err := <-n.served; err != nil {
		n.t.Errorf("serve: %v", err)
	}
	_ = n.log.Close()
	_ = n.lis.Close()
}

// client is one session of a test, and what its process would remember.
type client struct {
	t        *testing.T
	api      coordv1.SessionServiceClient
	stream   grpc.BidiStreamingClient[coordv1.AttachRequest, coordv1.AttachResponse]
	instance uint64
	epoch    uint64
	id       uint64
	seq      uint64
	answers  []*coordv1.Outcome // received and not yet taken
}

const testTTL = 10 * time.Second

func (c *client) secret() []byte {
	secret := make([]byte, 16)
	secret[0], secret[1] = byte(c.instance), byte(c.instance>>8)
	return secret
}

func (c *client) lease() *coordv1.Lease {
	return &coordv1.Lease{SessionId: c.id, Secret: c.secret()}
}

// open opens a session.
func open(t *testing.T, api coordv1.SessionServiceClient, instance uint64) *client {
	t.Helper()
	c := &client{t: t, api: api, instance: instance}
	attached, err := c.attach(&coordv1.Attach{Ttl: durationpb.New(testTTL), Who: &coordv1.Who{Name: "test"}})
	if err != nil {
		t.Fatalf("attach: %v", err)
	}
	if attached.GetSessionId() == 0 {
		t.Fatalf("attached to no session: %v", attached)
	}
	return c
}

// attach begins a stream with a, to which it adds who the client is.
func (c *client) attach(a *coordv1.Attach) (*coordv1.Attached, error) {
	c.t.Helper()
	stream, err := c.api.Attach(context.Background())
	if err != nil {
		return nil, err
	}
	c.stream, c.answers = stream, nil
	c.epoch++
	a.Secret, a.Instance, a.Epoch = c.secret(), c.instance, c.epoch
	c.sendFrame(&coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Attach{Attach: a}})
	response, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	attached := response.GetAttached()
	if attached == nil {
		c.t.Fatalf("first response is %v", response)
	}
	c.id = attached.GetSessionId()
	return attached, nil
}

func (c *client) sendFrame(f *coordv1.AttachRequest) {
	// An error is that the stream is over; Recv has the status.
	_ = c.stream.Send(f)
}

// send sends ops with the next seqs, and returns the first of them.
func (c *client) send(ops ...*coordv1.Op) uint64 {
	first := c.seq + 1
	for _, op := range ops {
		c.seq++
		op.Seq = c.seq
	}
	c.sendFrame(frame(ops...))
	return first
}

func frame(ops ...*coordv1.Op) *coordv1.AttachRequest {
	return &coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Ops{Ops: &coordv1.Ops{Ops: ops}}}
}

// recv returns the next outcome, or the status of the stream.
func (c *client) recv() (*coordv1.Outcome, error) {
	for len(c.answers) == 0 {
		response, err := c.stream.Recv()
		if err != nil {
			return nil, err
		}
		c.answers = response.GetOutcomes().GetOutcomes()
	}
	next := c.answers[0]
	c.answers = c.answers[1:]
	return next, nil
}

// want takes the next outcome, which is to be of seq with code.
func (c *client) want(seq uint64, code coordv1.Code) *coordv1.Outcome {
	c.t.Helper()
	o, err := c.recv()
	if err != nil {
		c.t.Fatalf("instead of %v for seq %d: %v", code, seq, err)
	}
	if o.GetSeq() != seq || o.GetCode() != code {
		c.t.Fatalf("got %v, not %v for seq %d", o, code, seq)
	}
	return o
}

// wantEnd takes the end of the stream, which is to have the reason.
func (c *client) wantEnd(reason coordv1.Reason) *errdetails.ErrorInfo {
	c.t.Helper()
	for {
		o, err := c.recv()
		if err != nil {
			return wantReason(c.t, err, reason)
		}
		c.t.Logf("before the end: %v", o)
	}
}

func wantReason(t *testing.T, err error, reason coordv1.Reason) *errdetails.ErrorInfo {
	t.Helper()
	info := infoOf(err)
	if info == nil || "REASON_"+info.GetReason() != reason.String() {
		t.Fatalf("got %v (%v), not %v", err, info, reason)
	}
	return info
}

func infoOf(err error) *errdetails.ErrorInfo {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

func lockOp(name string) *coordv1.Op {
	return waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{{Kind: coordv1.Kind_KIND_LOCK, Name: name}}})
}

func waitOp(w *coordv1.Wait) *coordv1.Op { return &coordv1.Op{Op: &coordv1.Op_Wait{Wait: w}} }

func endOp(target uint64) *coordv1.Op {
	return &coordv1.Op{Op: &coordv1.Op_End{End: &coordv1.End{Target: target}}}
}

func noop() *coordv1.Op { return &coordv1.Op{Op: &coordv1.Op_Noop{Noop: &coordv1.Noop{}}} }

func lockNamed(name string) park.Object { return park.Object{Kind: park.KindLock, Name: name} }

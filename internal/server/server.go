package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/audit"
	"coordd.dev/internal/rights"
	"coordd.dev/internal/telemetry"
	"coordd.dev/raftstore"
)

// Limits of the transport (DESIGN section 10).
const (
	maxMessage = 1 << 20 // bytes, of what is received

	// maxStreams is of one connection. A session has a stream for its life, and the
	// sessions of a process share a connection, as all calls that another node passes
	// on do.
	maxStreams = 16_384

	windowBytes = 1 << 20 // initial, of a stream and of a connection
	headerBytes = 16 << 10

	handshakeLimit = 5 * time.Second
	pingInterval   = 20 * time.Second // to an idle client
	pingTimeout    = 10 * time.Second
	transferLimit  = 3 * time.Second  // of leadership, at Stop
	idleLimit      = 10 * time.Minute // of a connection without a call
	minPing        = 2 * time.Second  // more frequent pings of a client end its connection
)

// Config configures a Server.
type Config struct {
	Replica *Replica       // what Log drives
	Log     *raftstore.Log // closed by its owner, after Stop

	NodeID    string // this node's, in the log's configuration
	NodeName  string // for people; default NodeID
	ClusterID string // founded if there is none; another one is fatal
	Version   string // for people

	// AwaitRestore: until a backup is restored into the cluster, no session opens through
	// this node, and nothing is changed.
	AwaitRestore bool

	// Rights say who may do what; nil allows everything to everybody.
	Rights *rights.Rights
	// Audit is where decisions are recorded; nil is nowhere.
	Audit *audit.Log

	// PerClient is how much of the node one client may have.
	PerClient Quota

	// Locate returns where clients reach a node of the configuration; of this node at once.
	Locate func(ctx context.Context, nodeID string) (clientAddr string, err error)
	// Dial connects to the server of such a node, to a listener there that is Passed.
	Dial func(ctx context.Context, nodeID string) (net.Conn, error)
	// Ask asks the node at a peer address what it is. Nil: the members are fixed, and not
	// looked after.
	Ask func(ctx context.Context, address string) (Peer, error)
	// Heard is the peer address that a member last gave as its own, "" if it has given none.
	// It comes with Ask.
	Heard func(nodeID string) string
	// TLS is what clients' connections must be; nil is plain text. Those of a listener that is
	// Shared or Passed are as they come.
	TLS *tls.Config
	// Logger defaults to slog.Default.
	Logger *slog.Logger

	// These default to OpenTelemetry's global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	Propagator     propagation.TextMapPropagator
}

func (c Config) validate() error {
	var faults []error
	fault := func(bad bool, what string) {
		if bad {
			faults = append(faults, errors.New(what))
		}
	}
	fault(c.Replica == nil, "Replica is nil")
	fault(c.Log == nil, "Log is nil")
	fault(c.NodeID == "", "NodeID is empty")
	fault(c.ClusterID == "", "ClusterID is empty")
	fault(c.Locate == nil, "Locate is nil")
	fault(c.Dial == nil, "Dial is nil")
	fault((c.Ask == nil) != (c.Heard == nil), "of Ask and Heard one is nil")
	return errors.Join(faults...)
}

func (c Config) withDefaults() Config {
	if c.NodeName == "" {
		c.NodeName = c.NodeID
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.TracerProvider == nil {
		c.TracerProvider = otel.GetTracerProvider()
	}
	if c.MeterProvider == nil {
		c.MeterProvider = otel.GetMeterProvider()
	}
	if c.Propagator == nil {
		c.Propagator = otel.GetTextMapPropagator()
	}
	return c
}

// A Server serves coord.v1, health and reflection for one node, and keeps the cluster's
// clock running while the node leads.
type Server struct {
	cfg       Config
	grpc      *grpc.Server
	health    fitness
	telemetry *telemetry.Server
	leader    *leader
	forward   *forwarder
	renewals  *gatherer
	quotas    *quotas
	methods   map[string]row // what each method needs; never changed
	founding  atomic.Bool    // the Bootstrap is in the log, its outcome is not known
	saves     chan struct{}  // has a token for each backup that is being taken

	cancel   context.CancelFunc
	changed  chan struct{}  // of one: the steward is to look at the members now
	running  sync.WaitGroup // the run loop, readers of streams, lookups
	stopping chan struct{}  // closed by Stop, at its start
	draining chan struct{}  // closed by Stop, once leadership is handed over

	mu      sync.Mutex
	stopped bool
	failure error // why the server ended itself
}

// New returns a server that runs but does not listen. Stop ends it.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure server: %w", err)
	}
	s := &Server{
		cfg:      cfg.withDefaults(),
		health:   fitness{Server: health.NewServer()},
		renewals: &gatherer{log: cfg.Log},
		changed:  make(chan struct{}, 1),
		saves:    make(chan struct{}, maxSaves),
		methods:  methodTable(),
		stopping: make(chan struct{}),
		draining: make(chan struct{}),
	}
	s.quotas = newQuotas(s.cfg.PerClient, s.cfg.Logger)
	s.cfg.Replica.hub.tally.most = s.quotas.quota.Waits
	s.leader = newLeader(s.cfg.Locate)
	s.forward = newForwarder(s.cfg)
	s.telemetry = telemetry.NewServer(s.cfg.TracerProvider, s.cfg.MeterProvider, s.gauges)
	s.grpc = grpc.NewServer(s.options()...)
	coordv1.RegisterSessionServiceServer(s.grpc, &sessions{Server: s})
	coordv1.RegisterLockServiceServer(s.grpc, &locks{Server: s})
	coordv1.RegisterSemaphoreServiceServer(s.grpc, &semaphores{Server: s})
	coordv1.RegisterElectionServiceServer(s.grpc, &elections{Server: s})
	coordv1.RegisterChannelServiceServer(s.grpc, &channels{Server: s})
	coordv1.RegisterWaitGroupServiceServer(s.grpc, &waitGroups{Server: s})
	coordv1.RegisterOnceServiceServer(s.grpc, &onces{Server: s})
	coordv1.RegisterCondServiceServer(s.grpc, &conds{Server: s})
	coordv1.RegisterMapServiceServer(s.grpc, &tables{Server: s})
	coordv1.RegisterSelectServiceServer(s.grpc, &selects{Server: s})
	coordv1.RegisterObjectServiceServer(s.grpc, &objects{Server: s})
	coordv1.RegisterInspectServiceServer(s.grpc, &inspect{Server: s})
	coordv1.RegisterClusterServiceServer(s.grpc, &cluster{Server: s})
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.health.services = servicesOf(s.grpc)

	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.running.Go(func() {
		if err := s.run(ctx); err != nil {
			s.fail(err)
		}
	})
	return s, nil
}

func (s *Server) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(newDoors(s.cfg.TLS)),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(headerBytes),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(windowBytes),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: pingInterval, Timeout: pingTimeout, MaxConnectionIdle: idleLimit,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: minPing, PermitWithoutStream: true,
		}),
		grpc.WaitForHandlers(true),
		grpc.StatsHandler(otelgrpc.NewServerHandler(s.cfg.rpcTelemetry()...)),
		grpc.StatsHandler(lines{}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	}
}

// Serve serves what lis accepts until Stop, then returns nil; or why the server ended
// itself. It may be called for several listeners.
func (s *Server) Serve(lis net.Listener) error {
	err := s.grpc.Serve(lis)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return s.failure
	}
	if err != nil && !s.stopped {
		return fmt.Errorf("serve %v: %w", lis.Addr(), err)
	}
	return nil
}

// fail ends the server for err, which Serve returns.
func (s *Server) fail(err error) {
	s.mu.Lock()
	s.failure = err
	s.mu.Unlock()
	s.health.Shutdown()
	s.cfg.Replica.hub.close(errStopping)
	s.forward.close(errStopping())
	s.grpc.Stop()
	s.forward.hangUp()
}

// Ready is nil if the node may be used, else says why not.
func (s *Server) Ready() error {
	s.mu.Lock()
	stopped, failure := s.stopped, s.failure
	s.mu.Unlock()
	if failure != nil {
		return failure
	}
	if stopped {
		return errors.New("shutting down")
	}
	engine := s.cfg.Log.Engine()
	state, _ := engine.State()
	leadership, _ := s.cfg.Log.Leadership()
	isThis := func(m raftstore.Member) bool { return m.ID == s.cfg.NodeID }
	switch {
	case !slices.ContainsFunc(engine.Members(), isThis):
		return errors.New("not a member of the cluster")
	case leadership.LeaderID == "":
		return errors.New("no leader is known")
	case !state.CaughtUp:
		return errors.New("not caught up with the log")
	case s.cfg.Replica.clusterID() == "":
		return errors.New("the cluster is not founded yet")
	case leadership.LeaderID == s.cfg.NodeID && !leadership.Leading:
		return errors.New("about to lead: the first entry of the term is not applied")
	case s.awaits():
		return errAwaits
	}
	return nil
}

// Stop ends the server in order: it is not ready any more, leadership goes to another
// node, streams are cut, and calls under way may end until ctx does. It waits for
// everything that the server started. The log is still open.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	first := !s.stopped
	s.stopped = true
	s.mu.Unlock()
	if !first {
		s.running.Wait()
		return nil
	}
	close(s.stopping)
	s.health.Shutdown()
	s.handOver(ctx)
	close(s.draining)
	s.cfg.Replica.hub.close(errStopping)
	s.forward.close(errStopping())
	err := s.drain(ctx)
	s.forward.hangUp()
	s.cancel()
	s.running.Wait()
	return errors.Join(err, s.telemetry.Close())
}

// handOver gives leadership to another voter, if there is one. If that fails the others
// elect one by themselves, only later.
func (s *Server) handOver(ctx context.Context) {
	engine := s.cfg.Log.Engine()
	leadership, _ := s.cfg.Log.Leadership()
	other := func(m raftstore.Member) bool { return m.Voter && m.ID != s.cfg.NodeID }
	if !leadership.Leading || !slices.ContainsFunc(engine.Members(), other) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, transferLimit)
	defer cancel()
	if err := engine.Transfer(ctx, ""); err != nil {
		s.cfg.Logger.Warn("hand over leadership", "err", err)
	}
}

// drain waits for the calls under way, until ctx ends.
func (s *Server) drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.grpc.Stop() // which ends GracefulStop
	<-done
	return fmt.Errorf("drain calls: %w", context.Cause(ctx))
}

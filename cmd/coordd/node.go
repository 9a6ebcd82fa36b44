package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/internal/gateway"
	"coordd.dev/internal/peer"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft"
)

// drainLimit bounds the orderly part of a stop: handing over leadership and ending
// streams.
const drainLimit = 8 * time.Second

// A node is one coordd: the wiring of the rooms.
type node struct {
	cfg    Config
	ports  *listeners
	logger *slog.Logger
	raft   *slog.Logger // for the raft library
	join   []string     // sorted
	tls    shields

	clientAddress, peerAddress string // as advertised

	health   *health
	ready    chan struct{} // closed when the node is ready for the first time
	stopping chan struct{} // closed when serve ends
	cause    error         // why, if it was not told to; set before stopping is closed
	engine   atomic.Pointer[hraft.Engine]
	logEnd   atomic.Pointer[uint64] // what was on disk went up to that entry; nil until that was read
}

// newNode takes over the ports, which run closes.
func newNode(cfg Config, ports *listeners, logger *slog.Logger) (*node, error) {
	n := &node{
		cfg: cfg, ports: ports, logger: logger,
		health: newHealth(), ready: make(chan struct{}), stopping: make(chan struct{}),
	}
	n.raft = slog.New(newQuiet(logger.Handler(), n.stopping))
	var errs [3]error
	n.clientAddress, errs[0] = advertised("client", cfg.AdvertiseClient, cfg.ListenClient, ports.client)
	n.peerAddress, errs[1] = advertised("peer", cfg.AdvertisePeer, cfg.ListenPeer, ports.peer)
	n.join, errs[2] = peer.ParseJoin(cfg.Join)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("configure node: %w", err)
	}
	var err error
	if n.tls, err = cfg.openShields(n.clientAddress, n.peerAddress, logger); err != nil {
		return nil, fmt.Errorf("configure node: %w", err)
	}
	return n, nil
}

// run is the life of a node, from its identity to its last file. It returns nil after
// an orderly stop, which the end of ctx asks for.
//
// What is deferred is the stop, so it is read from below: the server first, because it
// hands over leadership, for which it needs all the rest; then the log, which fails
// what still waits; the engine, which stops writing; its files; the peer port, which
// raft needs to the last; telemetry, which exports what is left of all these; and the
// identity's lock at the very end, when nobody touches the directory any more. The admin
// port stays until then, to say that it stops.
func (n *node) run(ctx context.Context) (err error) {
	undo := func(what string, stop func() error) {
		if e := stop(); e != nil {
			err = errors.Join(err, fmt.Errorf("stop %s: %w", what, e))
		}
	}
	defer undo("ports", n.ports.close)
	identity, err := peer.OpenIdentity(n.cfg.DataDir)
	if err != nil {
		return err
	}
	defer undo("identity", identity.Close)
	n.announce(identity)

	telemetry, err := openTelemetry(ctx, identity.NodeID(), n.logger)
	if err != nil {
		return err
	}
	defer telemetry.close()
	gates, err := n.openGates()
	if err != nil {
		return err
	}
	defer undo("audit log", gates.close)
	api, err := gateway.New()
	if err != nil {
		return err
	}
	defer undo("gateway", api.Close)
	admin := n.openAdmin(adminHandler(n.health, telemetry.metrics, api, n.cfg.Pprof))
	defer undo("admin port", admin.close)
	away := turnAway(n.ports.client)
	defer away()

	replica := server.NewReplica()
	mux := n.openPeerPort(identity, replica, gates.audit)
	defer undo("peer port", mux.Close)

	bootstrap, err := n.form(ctx, identity, mux)
	if err != nil || ctx.Err() != nil {
		return err
	}
	disk, err := n.openDisk(ctx, identity, mux)
	if err != nil {
		return n.giveUp(identity, err)
	}
	defer undo("disk", disk.Close)
	engine, err := n.openEngine(identity, disk, mux, replica, bootstrap)
	if err != nil {
		return n.giveUp(identity, err)
	}
	defer undo("engine", engine.Close)
	log := raftstore.NewLog(engine, raftstore.Config{TracerProvider: telemetry.tracers, MeterProvider: telemetry.meters})
	defer undo("log", log.Close)

	cfg := n.serverConfig(identity, mux, gates)
	cfg.Replica, cfg.Log = replica, log
	cfg.TracerProvider, cfg.MeterProvider, cfg.Propagator = telemetry.tracers, telemetry.meters, telemetry.propagator
	srv, err := server.New(cfg)
	if err != nil {
		return err
	}
	n.health.setServer(srv.Ready)
	away()
	return n.serve(ctx, srv, log, identity, mux, []net.Listener{
		server.Bounded(n.ports.client, server.Bounds{Logger: n.logger}), server.Shared(api.Listener()), server.Passed(mux.Calls()),
	})
}

// serverConfig is what the server is told of this node, and of those that it knows.
func (n *node) serverConfig(identity *peer.Identity, mux *peer.Mux, gates *gates) server.Config {
	return server.Config{
		NodeID: identity.NodeID(), NodeName: n.cfg.Name, ClusterID: identity.ClusterID(), Version: version,
		Rights: gates.rights, Audit: gates.audit,
		AwaitRestore: n.cfg.AwaitRestore, PerClient: n.cfg.quota(),
		Locate: mux.Locate, Dial: mux.DialCalls, Ask: ask(mux), Heard: mux.Heard,
		TLS: n.tls.client, Logger: n.logger,
	}
}

// announce says what starts, and where.
func (n *node) announce(identity *peer.Identity) {
	n.logger.Info("coordd starts", "version", version, "name", n.cfg.Name, "node", identity.NodeID(),
		"data", n.cfg.DataDir, "client", n.clientAddress, "peer", n.peerAddress, "admin", n.ports.admin.Addr(),
		"tls", n.tls.client != nil, "peer_tls", n.tls.peer != nil)
}

// serve runs the server until it is told to stop or something ends it, and stops it.
func (n *node) serve(ctx context.Context, srv *server.Server, log *raftstore.Log, identity *peer.Identity, mux *peer.Mux,
	listeners []net.Listener) error {
	var running sync.WaitGroup
	defer running.Wait()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watched := make(chan error, 2)
	running.Go(func() { watched <- n.watch(watching, log, identity) })
	running.Go(func() { watched <- mux.KeepFloors(watching) })
	served := make(chan error, len(listeners))
	for _, lis := range listeners {
		running.Go(func() { served <- srv.Serve(lis) })
	}

	var cause error
	select {
	case <-ctx.Done():
		n.logger.Info("stopping: handing over leadership and ending streams")
	case <-log.Engine().Failed():
		cause = fmt.Errorf("engine failed, this node cannot go on: %w", log.Engine().Err())
		n.health.setEngine(cause)
	case err := <-served:
		cause = fmt.Errorf("server ended: %w", err)
	case cause = <-watched:
	}
	n.health.stop()
	n.cause = cause
	close(n.stopping)
	drain, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	if cause != nil {
		n.logger.Error("stopping", "err", cause)
		cancel() // there is nothing to hand over
	}
	if err := srv.Stop(drain); err != nil && cause == nil {
		n.logger.Warn("some calls were cut off", "err", err)
	}
	return n.giveUp(identity, cause)
}

// form returns once this node is of a cluster, or ctx has ended.
func (n *node) form(ctx context.Context, identity *peer.Identity, mux *peer.Mux) ([]raftstore.Member, error) {
	if len(n.join) > 0 && identity.ClusterID() != "" {
		n.logger.Info("--join is ignored: this node is of a cluster already", "cluster", identity.ClusterID())
	}
	bootstrap, err := peer.Form(ctx, peer.FormConfig{
		Identity: identity, Mux: mux, Address: n.peerAddress,
		Join: n.join, Expect: n.cfg.BootstrapExpect, Logger: n.logger,
		Progress: func(reason string) { n.health.setCluster(errors.New(reason)) },
	})
	if ctx.Err() != nil {
		return nil, nil // it was told to stop, and has
	}
	if err != nil {
		return nil, err
	}
	n.health.setCluster(nil)
	return bootstrap, nil
}

// openDisk opens raft's data, and refuses a member that has lost them, or some of them: it
// would vote again on what it voted before (the id must go with the data).
func (n *node) openDisk(ctx context.Context, identity *peer.Identity, mux *peer.Mux) (*hraft.Disk, error) {
	disk, err := hraft.OpenDisk(identity.RaftDir(), n.raft)
	if err != nil {
		return nil, err
	}
	has, err := raft.HasExistingState(disk.LogStore, disk.StableStore, disk.SnapshotStore)
	if err == nil && !has && identity.Phase() == peer.PhaseMember {
		err = fmt.Errorf("directory %s says that this node is a member of cluster %s, but raft's data in it are gone: "+
			"restore them, or wipe the whole directory and add the node anew", n.cfg.DataDir, identity.ClusterID())
	}
	if err == nil {
		err = n.consult(ctx, disk, mux)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open disk: %w", err), disk.Close())
	}
	return disk, nil
}

func (n *node) openEngine(identity *peer.Identity, disk *hraft.Disk, mux *peer.Mux, replica *server.Replica,
	bootstrap []raftstore.Member) (*hraft.Engine, error) {
	engine, err := hraft.Open(hraft.Config{
		LocalID:       identity.NodeID(),
		Machine:       replica,
		Transport:     hraft.NewTransport(mux.Raft(), n.raft),
		LogStore:      disk.LogStore,
		StableStore:   disk.StableStore,
		SnapshotStore: disk.SnapshotStore,
		Bootstrap:     bootstrap,
		Logger:        n.raft,

		SnapshotEntries:  n.cfg.SnapshotEntries,
		SnapshotInterval: n.cfg.SnapshotInterval,
		StallLimit:       n.cfg.DiskStallLimit,
	})
	if err != nil {
		return nil, err
	}
	n.engine.Store(engine)
	n.health.setEngine(nil)
	for _, m := range engine.Members() {
		if m.ID == identity.NodeID() && m.Address != n.peerAddress {
			n.logger.Info("this node has moved: it tells the others, and the leader changes its address",
				"from", m.Address, "to", n.peerAddress)
		}
	}
	return engine, nil
}

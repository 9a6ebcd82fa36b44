package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"coordd.dev/raftstore"
)

const (
	// handshakeTimeout bounds what comes before a connection is raft's.
	handshakeTimeout = 5 * time.Second

	// defaultMaxConns bounds the inbound connections; a raft peer needs about five.
	defaultMaxConns = 512

	// quietFor is how often the same kind of refusal is logged: raft dials again and
	// again.
	quietFor = 10 * time.Second
)

// A MuxConfig configures a Mux. Zero values are the defaults where one is named.
type MuxConfig struct {
	// Listener is the peer port; Close closes it.
	Listener net.Listener
	// Dial opens a connection to another peer port; default TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// TLS goes over both; nil is plain text, and everybody is believed.
	TLS *TLS

	Identity *Identity
	Address  string   // where others reach the Listener, host:port
	Join     []string // sorted; a node in no cluster adopts only what these tell

	// Self tells what changes: name, client address, leader. The mux adds the rest.
	Self func() Hello
	// Members is raft's configuration as this node knows it; none until raft runs.
	Members func() []raftstore.Member

	// Reached is the log index up to which this node's data go, by what was on its disk when it
	// started and what it has applied since; false until that was read, which is before raft
	// dials.
	Reached func() (index uint64, known bool)

	// Refused is told of each connection that is refused: from where, who it says that it is
	// if it came to that, and why; may be nil.
	Refused func(address, nodeID, why string)

	MaxConns int // inbound; default 512
	Logger   *slog.Logger
}

func (c MuxConfig) withDefaults() MuxConfig {
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	if c.Refused == nil {
		c.Refused = func(string, string, string) {}
	}
	if c.Members == nil {
		c.Members = func() []raftstore.Member { return nil }
	}
	if c.Reached == nil {
		c.Reached = func() (uint64, bool) { return 0, false }
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultMaxConns
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Mux is the peer port: it shakes hands on every connection, in and out, and hands
// each to what it is for.
type Mux struct {
	cfg   MuxConfig
	raft  *RaftLayer
	calls *lane
	wg    sync.WaitGroup // accept, and one for each handshake
	stop  chan struct{}  // closed by Close

	failed chan struct{} // closed with err

	mu      sync.Mutex
	closed  bool
	err     error                 // why this node must end
	conns   map[net.Conn]struct{} // inbound and open, so that Close can end them
	pending int                   // of those, in their handshake
	warned  map[refusal]time.Time // when last logged
	heard   map[string]string     // member's id -> the address that it last gave as its own
}

// NewMux starts to serve the listener.
func NewMux(cfg MuxConfig) *Mux {
	m := &Mux{
		cfg:    cfg.withDefaults(),
		stop:   make(chan struct{}),
		failed: make(chan struct{}),
		conns:  make(map[net.Conn]struct{}),
		warned: make(map[refusal]time.Time),
		heard:  make(map[string]string),
	}
	m.raft = &RaftLayer{newLane(m)}
	m.calls = newLane(m)
	m.wg.Go(m.accept)
	return m
}

// Raft is the stream layer for hashicorp/raft's NetworkTransport.
func (m *Mux) Raft() *RaftLayer { return m.raft }

// Calls accepts the connections over which other nodes pass on the calls of their clients.
func (m *Mux) Calls() net.Listener { return m.calls }

// DialCalls opens such a connection to a member.
func (m *Mux) DialCalls(ctx context.Context, nodeID string) (net.Conn, error) {
	for _, member := range m.cfg.Members() {
		if member.ID == nodeID {
			return m.dial(ctx, purposeCalls, member.Address, nodeID)
		}
	}
	return nil, fmt.Errorf("dial node %s: %w", nodeID, ErrNotMember)
}

// Heard is where a member, by its own last word, is reached; "" if it has not said so
// since this node started.
func (m *Mux) Heard(nodeID string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heard[nodeID]
}

// hear notes where a member says that it is. With TLS its certificate must be good for where
// it was too: else any node could say that it is another one, which has moved.
func (m *Mux) hear(g greeting, p *papers) {
	member, ok := memberOf(m.cfg.Members(), g.Node)
	if !ok || g.Cluster == "" || CheckAddress(g.Address) != nil || p != nil && p.goodFor(member.Address) != "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard[g.Node] = g.Address
}

// Close ends the inbound connections and waits for the goroutines of the mux. It comes
// after raft's transport is closed, which owns the outbound ones.
func (m *Mux) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	open := make([]net.Conn, 0, len(m.conns))
	for c := range m.conns {
		open = append(open, c)
	}
	m.mu.Unlock()

	close(m.stop)
	err := m.cfg.Listener.Close()
	for _, c := range open {
		_ = c.Close() // the other end is told by the close itself
	}
	m.wg.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close peer port: %w", err)
	}
	return nil
}

// accept runs until the listener is closed. Out of descriptors it waits a little, for
// a node that gave up its port would be lost for good.
func (m *Mux) accept() {
	const pause = 50 * time.Millisecond
	for {
		conn, err := m.cfg.Listener.Accept()
		switch {
		case err == nil:
			m.take(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			m.cfg.Logger.Warn("peer port cannot accept", "err", err)
			select {
			case <-m.stop:
				return
			case <-time.After(pause):
			}
		}
	}
}

// take begins the handshake of an inbound connection, or drops it: at the cap, and
// when half of the cap is connections that have not said who they are, so that silent
// strangers never keep members out for longer than a handshake.
func (m *Mux) take(conn net.Conn) {
	m.mu.Lock()
	if m.closed || len(m.conns) >= m.cfg.MaxConns || m.pending >= (m.cfg.MaxConns+1)/2 {
		m.mu.Unlock()
		m.cfg.Logger.Debug("peer port drops a connection: too many", "from", conn.RemoteAddr())
		_ = conn.Close()
		return
	}
	m.conns[conn] = struct{}{}
	m.pending++
	m.wg.Add(1)
	m.mu.Unlock()
	go func() {
		defer m.wg.Done()
		m.receive(conn)
	}()
}

// drop forgets and closes an inbound connection.
func (m *Mux) drop(conn net.Conn) error {
	m.mu.Lock()
	delete(m.conns, raw(conn))
	m.mu.Unlock()
	return conn.Close()
}

// receive shakes hands with a dialler and does what it came for. It ends within the
// handshake's deadline, unless raft, or the server, takes the connection.
func (m *Mux) receive(conn net.Conn) {
	deadline := time.Now().Add(handshakeTimeout)
	_ = conn.SetDeadline(deadline) // a connection that cannot have one fails at the read
	var g greeting
	conn, papers, err := m.answerTLS(conn)
	if err == nil {
		g, err = m.welcome(conn, papers)
	}
	m.mu.Lock()
	m.pending--
	m.mu.Unlock()
	if err == nil {
		m.hear(g, papers)
		lane := map[purpose]*lane{purposeRaft: m.raft.lane, purposeCalls: m.calls}[g.Purpose]
		if lane == nil {
			err = m.tell(conn)
		} else if _ = conn.SetDeadline(time.Time{}); lane.deliver(conn, time.Until(deadline)) {
			return
		} else {
			err = errors.New("nothing here takes it yet")
		}
	}
	if err != nil {
		m.cfg.Logger.Debug("peer connection refused", "from", conn.RemoteAddr(), "err", err)
	}
	_ = m.drop(conn)
}

// welcome reads the greeting and answers it. What does not begin with the magic gets
// no answer: it is not one of ours, and would not understand.
func (m *Mux) welcome(conn net.Conn, p *papers) (greeting, error) {
	g, err := readGreeting(conn)
	if err != nil {
		return g, err
	}
	code, text := p.own(g)
	if code == accepted {
		code, text = m.judge(g)
	}
	if code == accepted && g.Purpose != purposeHello {
		code, text = m.standing(p, g)
		if code == accepted {
			code, text = m.heed(g.Floor, g.Node, g.Address)
		}
	}
	m.warn(code, text, g, conn.RemoteAddr())
	a := answer{Code: code, Cluster: m.cfg.Identity.ClusterID(), Node: m.cfg.Identity.NodeID(), Text: text,
		Floor: m.cfg.Identity.Floor(g.Node)}
	if _, err := conn.Write(a.encode()); err != nil {
		return g, err
	}
	if code != accepted {
		return g, errors.New(text)
	}
	return g, nil
}

// judge decides whether a dialler is welcome, and adopts its cluster if this node has
// none: on disk, before anything is answered (invariant 4).
func (m *Mux) judge(g greeting) (refusal, string) {
	self, cluster := m.cfg.Identity.NodeID(), m.cfg.Identity.ClusterID()
	switch {
	case g.Version != version:
		return refusedVersion, fmt.Sprintf("this node speaks version %d, not %d", version, g.Version)
	case g.Purpose < purposeRaft || g.Purpose > purposeCalls:
		return refusedPurpose, fmt.Sprintf("unknown purpose %d", g.Purpose)
	case g.Node == self:
		return refusedSelf, "this is the same node: --join names it by a second address, or its data directory was copied"
	case g.Target != "" && g.Target != self:
		return refusedNode, fmt.Sprintf("this is node %s, not %s: its data directory was replaced, or it moved", self, g.Target)
	case g.Cluster == cluster && cluster != "":
		return accepted, ""
	case g.Cluster != "" && cluster != "":
		return refusedCluster, fmt.Sprintf("this node is of cluster %s, not %s", cluster, g.Cluster)
	case g.Cluster == "" && g.Purpose != purposeHello:
		return refusedNoCluster, "only who asks who this is may be of no cluster"
	case g.Cluster == "":
		return accepted, ""
	case !slices.Contains(m.cfg.Join, g.Address):
		return refusedStranger, fmt.Sprintf("this node is in no cluster yet, and its --join does not name %s", g.Address)
	}
	if err := m.cfg.Identity.Adopt(g.Cluster); err != nil {
		m.cfg.Logger.Error("cannot adopt the cluster id", "cluster", g.Cluster, "err", err)
		return refusedInternal, "this node cannot store the cluster id"
	}
	m.cfg.Logger.Info("adopted the cluster id", "cluster", g.Cluster, "from", g.Address)
	return accepted, ""
}

// warn tells of a refusal, and logs what a person has to mend, each kind once in quietFor.
func (m *Mux) warn(code refusal, text string, g greeting, from net.Addr) {
	if code != accepted {
		m.cfg.Refused(from.String(), g.Node, text)
	}
	switch code {
	case accepted, refusedPurpose, refusedNoCluster, refusedInternal, refusedStarting:
		return
	default:
	}
	m.mu.Lock()
	now := time.Now()
	again := now.Sub(m.warned[code]) < quietFor
	if !again {
		m.warned[code] = now
	}
	m.mu.Unlock()
	if !again {
		m.cfg.Logger.Warn("peer refused", "why", text, "peer", g.Address, "node", g.Node, "from", from)
	}
}

// dial opens a connection and shakes hands. The connection it returns has no deadline.
func (m *Mux) dial(ctx context.Context, p purpose, address, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn, err := m.cfg.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial peer %s: %w", address, err)
	}
	// Closing is what ends a read; a deadline would be raft's to undo.
	bare := conn
	stop := context.AfterFunc(ctx, func() { _ = bare.Close() })
	conn, err = m.dialTLS(ctx, conn, address)
	if err == nil {
		err = m.introduce(conn, greeting{
			Purpose: p,
			Cluster: m.cfg.Identity.ClusterID(),
			Node:    m.cfg.Identity.NodeID(),
			Target:  target,
			Address: m.cfg.Address,
			Floor:   m.cfg.Identity.Floor(target),
		}, address)
	}
	if !stop() {
		err = or(ctx.Err(), err)
	}
	if err != nil {
		_ = conn.Close()
		var refused *RefusedError
		if errors.As(err, &refused) {
			return nil, err
		}
		return nil, fmt.Errorf("greet peer %s: %w", address, err)
	}
	return conn, nil
}

// introduce sends the greeting and reads the answer, which it believes no more than
// the answerer would a greeting.
func (m *Mux) introduce(conn net.Conn, g greeting, address string) error {
	if _, err := conn.Write(g.encode()); err != nil {
		return err
	}
	a, err := readAnswer(conn)
	switch {
	case hungUp(err):
		return fmt.Errorf("%w, or it is full, or wants TLS: it hung up", ErrNotPeer)
	case err != nil:
		return inWords(err)
	case a.Code != accepted:
		return &RefusedError{Address: address, NodeID: a.Node, Text: a.Text, code: a.Code}
	case g.Target != "" && a.Node != g.Target:
		return fmt.Errorf("%w: %s answers, not %s", ErrWrongNode, a.Node, g.Target)
	case g.Cluster != "" && a.Cluster != g.Cluster:
		return fmt.Errorf("%w: %s answers, not %s", ErrWrongCluster, a.Cluster, g.Cluster)
	case g.Target == "":
		return nil // it may be anybody
	}
	if code, _ := m.heed(a.Floor, a.Node, address); code == refusedOldCopy {
		return m.Err()
	}
	return nil
}

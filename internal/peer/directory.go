package peer

import (
	"context"
	"fmt"
	"net"
	"sync"

	"coordd.dev/raftstore"
)

// A DirectoryConfig configures a Directory.
type DirectoryConfig struct {
	Mux     *Mux
	Members func() []raftstore.Member // raft's configuration
	// Dial opens a connection to a client port; default TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// A Directory finds where nodes serve clients. A node's client address is its own flag,
// so only it knows: it is asked once, and again after a dial there has failed.
type Directory struct {
	cfg DirectoryConfig

	mu    sync.Mutex
	known map[string]string // node id -> client address
}

// NewDirectory returns an empty Directory.
func NewDirectory(cfg DirectoryConfig) *Directory {
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	return &Directory{cfg: cfg, known: make(map[string]string)}
}

// Locate returns the client address of a member.
func (d *Directory) Locate(ctx context.Context, nodeID string) (string, error) {
	if mux := d.cfg.Mux.cfg; nodeID == mux.Identity.NodeID() {
		return mux.Self().ClientAddress, nil
	}
	d.mu.Lock()
	address, ok := d.known[nodeID]
	d.mu.Unlock()
	if ok {
		return address, nil
	}
	for _, m := range d.cfg.Members() {
		if m.ID != nodeID {
			continue
		}
		h, err := d.cfg.Mux.Hello(ctx, m.Address, nodeID)
		if err != nil {
			return "", fmt.Errorf("locate node %s: %w", nodeID, err)
		}
		d.mu.Lock()
		d.known[nodeID] = h.ClientAddress
		d.mu.Unlock()
		return h.ClientAddress, nil
	}
	return "", fmt.Errorf("locate node %s: %w", nodeID, ErrNotMember)
}

// Dial opens a connection to a client address that Locate gave; if it cannot, the
// address is forgotten.
func (d *Directory) Dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := d.cfg.Dial(ctx, address)
	if err == nil {
		return conn, nil
	}
	d.mu.Lock()
	for id, a := range d.known {
		if a == address {
			delete(d.known, id)
		}
	}
	d.mu.Unlock()
	return nil, fmt.Errorf("dial client port %s: %w", address, err)
}

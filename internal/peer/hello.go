package peer

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"

	"coordd.dev/raftstore"
)

// maxHello bounds a Hello on the wire, in bytes.
const maxHello = 64 << 10

// A Hello is what a node tells of itself to other nodes. On the wire it is JSON behind
// a length of four bytes: it is asked a few times in a node's life, and a field more is
// no new version.
type Hello struct {
	NodeID        string `json:"node_id"`
	ClusterID     string `json:"cluster_id,omitempty"`
	Phase         Phase  `json:"phase"`
	Name          string `json:"name,omitempty"`
	PeerAddress   string `json:"peer_address"`
	ClientAddress string `json:"client_address,omitempty"`
	// LeaderID is who the node thinks leads; empty if it does not know.
	LeaderID string `json:"leader_id,omitempty"`
	// Replaces is the node that this one was before its data were set aside.
	Replaces string `json:"replaces,omitempty"`
	// Applied is the log index up to which its state is, MachineVersion the highest version of
	// the machine that it knows, Notes are its latest state hashes that are to be compared.
	Applied        uint64 `json:"applied,omitempty"`
	MachineVersion uint64 `json:"machine_version,omitempty"`
	Notes          []Note `json:"notes,omitempty"`
	// Join is the node's own join list, sorted: a cluster is formed only by nodes
	// that were given the same.
	Join []string `json:"join,omitempty"`
	// Members is raft's configuration as the node knows it.
	Members []raftstore.Member `json:"members,omitempty"`
}

// A Note is a node's state hash after an entry.
type Note struct {
	Index uint64 `json:"index"`
	Hash  uint64 `json:"hash"`
}

// Hello asks who is at the address. With a target, only that node may answer; else the
// error is ErrWrongNode.
func (m *Mux) Hello(ctx context.Context, address, target string) (Hello, error) {
	conn, err := m.dial(ctx, purposeHello, address, target)
	if err != nil {
		return Hello{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	h, err := readHello(conn)
	if err != nil {
		return Hello{}, fmt.Errorf("ask peer %s: %w", address, or(ctx.Err(), err))
	}
	return h, nil
}

// askAll asks all other members at once, and hands on their answers, one at a time; who does not
// answer before ctx ends is left out. That it is just they who answer, and of this cluster, dial
// has made sure; NodeID is who that is.
func (m *Mux) askAll(ctx context.Context, members []raftstore.Member, heard func(Hello)) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, member := range members {
		if member.ID == m.cfg.Identity.NodeID() {
			continue
		}
		asking.Go(func() {
			h, err := m.Hello(ctx, member.Address, member.ID)
			if err != nil {
				return
			}
			h.NodeID = member.ID
			mu.Lock()
			defer mu.Unlock()
			heard(h)
		})
	}
	asking.Wait()
}

// or prefers why a connection was cut to how that looked to its reader.
func or(cause, err error) error {
	if cause != nil {
		return cause
	}
	return err
}

// tell answers a Hello; the connection has the handshake's deadline.
func (m *Mux) tell(conn net.Conn) error {
	h := m.cfg.Self()
	h.NodeID = m.cfg.Identity.NodeID()
	h.ClusterID, h.Phase = m.cfg.Identity.joinedAs()
	h.Replaces = m.cfg.Identity.Replaces()
	h.PeerAddress = m.cfg.Address
	h.Join = m.cfg.Join
	h.Members = m.cfg.Members()
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
	return err
}

func readHello(r io.Reader) (Hello, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return Hello{}, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxHello {
		return Hello{}, fmt.Errorf("answer of %d bytes, more than %d", n, maxHello)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return Hello{}, err
	}
	var h Hello
	if err := json.Unmarshal(data, &h); err != nil {
		return Hello{}, err
	}
	return h, nil
}

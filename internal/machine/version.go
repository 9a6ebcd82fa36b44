package machine

import (
	"fmt"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// Versions of the machine: what a cluster may use of it (SEMANTICS H2). The second has
// Checkpoint, Verdict, the restores and DoRefuse, and snapshots that name their version.
const (
	firstVersion = 1 // of a cluster in whose log is no Upgrade

	// Version is the highest that this build knows.
	Version = 2

	// VersionOfRefuse is the first that knows DoRefuse.
	VersionOfRefuse = 2
)

// MaxHashes bounds a Verdict: more nodes than anybody runs.
const MaxHashes = 64

// Upgrade lets a version be used. It is proposed once every member knows that version; an
// older build that meets it in the log cannot decode it, and stops.
type Upgrade struct{ Version uint64 }

// Checkpoint has every node note its state hash after the entry, to be compared by.
type Checkpoint struct{}

// A Verdict is what the nodes had noted at a Checkpoint (SEMANTICS H3).
type Verdict struct {
	Index  uint64 // of the Checkpoint's entry
	Hashes []NodeHash
}

// A NodeHash is the state hash of a node.
type NodeHash struct {
	Node string
	Hash uint64
}

func (*Upgrade) command()    {}
func (*Checkpoint) command() {}
func (*Verdict) command()    {}

// Majority is the hash that more than half of the nodes have, if there is one.
func (v *Verdict) Majority() (hash uint64, ok bool) {
	votes := make(map[uint64]int, len(v.Hashes))
	for _, n := range v.Hashes {
		votes[n.Hash]++
		if 2*votes[n.Hash] > len(v.Hashes) {
			return n.Hash, true
		}
	}
	return 0, false
}

// Version is that which the cluster may use.
func (m *Machine) Version() uint64 { return m.version }

// upgrade never goes back.
func (m *Machine) upgrade(c *Upgrade) park.Code {
	if c.Version < firstVersion || c.Version > Version {
		return park.Invalid
	}
	m.version = max(m.version, c.Version)
	return park.Done
}

// versionSum is the version's part of the state hash; nothing of the first.
func (m *Machine) versionSum() uint64 { return 53 * (m.version - firstVersion) }

// saveVersion emits the version, where the format has it.
func (m *Machine) saveVersion(emit func([]byte) error) error {
	if m.version == firstVersion {
		return nil
	}
	return emit(wire.AppendUint(nil, m.version))
}

// loadVersion takes what saveVersion emitted.
func (m *Machine) loadVersion(take func() (*wire.Decoder, error)) error {
	d, err := take()
	if err != nil {
		return err
	}
	m.version = d.Uint(maxUint)
	if err := d.Close(); err != nil {
		return err
	}
	if m.version <= firstVersion || m.version > Version {
		return fmt.Errorf("it is of version %d, this coordd knows %d", m.version, Version)
	}
	return nil
}

func appendVerdict(b []byte, c *Verdict) []byte {
	b = wire.AppendUint(wire.AppendUint(b, c.Index), uint64(len(c.Hashes)))
	for _, n := range c.Hashes {
		b = wire.AppendUint(wire.AppendString(b, n.Node), n.Hash)
	}
	return b
}

func decodeVerdict(d *wire.Decoder) *Verdict {
	c := &Verdict{Index: d.Uint(maxUint)}
	n := d.Len()
	if n > MaxHashes {
		d.Fail("more hashes than there may be nodes")
	}
	for i := 0; i < n && !d.Failed(); i++ {
		c.Hashes = append(c.Hashes, NodeHash{Node: d.String(), Hash: d.Uint(maxUint)})
	}
	return c
}

// decodeUpgrade refuses what this build does not know, so that the node stops.
func decodeUpgrade(d *wire.Decoder) *Upgrade {
	c := &Upgrade{Version: d.Uint(maxUint)}
	if c.Version > Version && !d.Failed() {
		d.Fail(fmt.Sprintf("the cluster uses version %d of the machine, this coordd knows %d: start a newer coordd here",
			c.Version, Version))
	}
	return c
}

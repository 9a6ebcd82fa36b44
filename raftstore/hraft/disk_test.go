package hraft_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/enginetest"
	"coordd.dev/raftstore/hraft"
	"coordd.dev/test/ports"
)

func TestConformanceOnDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("writes to disk")
	}
	enginetest.Suite{New: newDiskCluster, Uncut: true}.Run(t)
}

// TestDiskLastIndex: it is the log's end, or the newest snapshot's if that is further.
func TestDiskLastIndex(t *testing.T) {
	d, err := hraft.OpenDisk(filepath.Join(t.TempDir(), "raft"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ends := func(want uint64) {
		t.Helper()
		if got, err := d.LastIndex(); err != nil || got != want {
			t.Errorf("ends at %d, %v, want %d", got, err, want)
		}
	}
	snapshot := func(at uint64) {
		t.Helper()
		_, transport := raft.NewInmemTransport("")
		sink, err := d.SnapshotStore.Create(raft.SnapshotVersionMax, at, 1, raft.Configuration{}, 1, transport)
		if err == nil {
			err = sink.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ends(0)
	if err := d.LogStore.StoreLogs([]*raft.Log{{Index: 1, Term: 1}, {Index: 2, Term: 1}, {Index: 3, Term: 1}}); err != nil {
		t.Fatal(err)
	}
	ends(3)
	snapshot(2)
	ends(3)
	snapshot(9)
	ends(9)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// diskCluster is a cluster on loopback and real files. It cannot be partitioned.
type diskCluster struct {
	t         testing.TB
	dir       string
	timeout   time.Duration // of heartbeats and elections; 0: the default
	addresses []string
	engines   []*hraft.Engine
	disks     []*hraft.Disk
}

func newDiskCluster(t *testing.T, n int) enginetest.Cluster { return newDisks(t, n) }

func newDisks(t testing.TB, n int) *diskCluster {
	block, err := ports.Reserve(n)
	if err != nil {
		t.Fatal(err)
	}
	c := &diskCluster{
		t:         t,
		dir:       t.TempDir(),
		addresses: block.Addresses(),
		engines:   make([]*hraft.Engine, n),
		disks:     make([]*hraft.Disk, n),
	}
	t.Cleanup(func() {
		if err := block.Close(); err != nil {
			t.Error(err)
		}
		for _, d := range c.disks {
			if d != nil {
				if err := d.Close(); err != nil {
					t.Errorf("close disk: %v", err)
				}
			}
		}
	})
	return c
}

// tcpLayer is the plainest stream layer.
type tcpLayer struct{ net.Listener }

func (tcpLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(to), timeout)
}

func (c *diskCluster) Start(i int, m raftstore.Machine) (raftstore.Engine, error) {
	var err error
	if c.disks[i] != nil { // the engine was closed, not killed
		if err := c.disks[i].Close(); err != nil {
			return nil, err
		}
	}
	if c.disks[i], err = hraft.OpenDisk(filepath.Join(c.dir, host(i)), testLogger(i)); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.addresses[i])
	if err != nil {
		return nil, err
	}
	c.engines[i], err = hraft.Open(hraft.Config{
		LocalID:          host(i),
		Machine:          m,
		Transport:        hraft.NewTransport(tcpLayer{l}, testLogger(i)),
		LogStore:         c.disks[i].LogStore,
		StableStore:      c.disks[i].StableStore,
		SnapshotStore:    c.disks[i].SnapshotStore,
		Bootstrap:        members(len(c.disks), func(i int) string { return c.addresses[i] }),
		Logger:           testLogger(i),
		TrailingEntries:  8,
		HeartbeatTimeout: c.timeout,
		ElectionTimeout:  c.timeout,
		LeaseTimeout:     c.timeout,
	})
	return c.engines[i], err
}

func (c *diskCluster) Kill(i int) {
	if err := c.engines[i].Close(); err != nil {
		c.t.Errorf("close engine: %v", err)
	}
	if err := c.disks[i].Close(); err != nil {
		c.t.Errorf("close disk: %v", err)
	}
	c.disks[i] = nil
}

func (c *diskCluster) Partition(...[]int) { c.t.Fatal("loopback cannot be cut") }

func (c *diskCluster) Heal() {}

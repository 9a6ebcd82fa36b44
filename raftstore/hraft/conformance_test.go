package hraft_test

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/enginetest"
	"coordd.dev/raftstore/hraft"
	"coordd.dev/raftstore/hraft/hrafttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformanceInMemory(t *testing.T) {
	enginetest.Suite{New: newMemCluster, Bubble: true}.Run(t)
}

// memCluster is a cluster in memory.
type memCluster struct {
	t       *testing.T
	network *hrafttest.Network
	disks   []*hrafttest.Disk
	engines []*hraft.Engine
	tune    func(i int, cfg *hraft.Config) // may be nil
}

func newMemCluster(t *testing.T, n int) enginetest.Cluster {
	c := &memCluster{t: t, network: hrafttest.NewNetwork(), engines: make([]*hraft.Engine, n)}
	for range n {
		c.disks = append(c.disks, new(hrafttest.Disk))
	}
	return c
}

func host(i int) string { return fmt.Sprintf("n%d", i) }

func members(n int, address func(int) string) []raftstore.Member {
	var members []raftstore.Member
	for i := range n {
		members = append(members, raftstore.Member{ID: host(i), Address: address(i), Voter: true})
	}
	return members
}

func (c *memCluster) Start(i int, m raftstore.Machine) (raftstore.Engine, error) {
	address := func(i int) string { return host(i) + ":7601" }
	stream, err := c.network.Stream(address(i))
	if err != nil {
		return nil, err
	}
	stores := c.disks[i].Open()
	logger := testLogger(i)
	cfg := hraft.Config{
		LocalID:         host(i),
		Machine:         m,
		Transport:       hraft.NewTransport(stream, logger),
		LogStore:        stores,
		StableStore:     stores,
		SnapshotStore:   stores,
		Bootstrap:       members(len(c.disks), address),
		Logger:          logger,
		TrailingEntries: 8,
		CommitTimeout:   50 * time.Millisecond,
	}
	if c.tune != nil {
		c.tune(i, &cfg)
	}
	c.engines[i], err = hraft.Open(cfg)
	return c.engines[i], err
}

func (c *memCluster) Kill(i int) {
	c.network.Kill(host(i))
	c.disks[i].Crash()
	if err := c.engines[i].Close(); err != nil {
		c.t.Errorf("close engine: %v", err)
	}
}

func (c *memCluster) Partition(sides ...[]int) {
	c.network.Partition(hosts(len(c.disks), sides)...)
}

func (c *memCluster) Heal() { c.network.Heal() }

// hosts names the nodes of the sides; a node in none is a side.
func hosts(n int, sides [][]int) [][]string {
	in := make([]bool, n)
	var named [][]string
	for _, side := range sides {
		var names []string
		for _, i := range side {
			in[i] = true
			names = append(names, host(i))
		}
		named = append(named, names)
	}
	for i := range n {
		if !in[i] {
			named = append(named, []string{host(i)})
		}
	}
	return named
}

// testLogger logs to stderr if RAFT_LOG is set.
func testLogger(i int) *slog.Logger {
	if os.Getenv("RAFT_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", i)
}

package hraft_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft"
	"coordd.dev/raftstore/hraft/hrafttest"
)

// A hanging store lets no write of its log come back while it is held.
type hanging struct {
	*hrafttest.Stores
	held chan struct{} // of one; a mutex would stop the bubble's clock
}

func (h *hanging) StoreLogs(logs []*raft.Log) error {
	h.held <- struct{}{}
	defer func() { <-h.held }()
	return h.Stores.StoreLogs(logs)
}

func (h *hanging) StoreLog(l *raft.Log) error { return h.StoreLogs([]*raft.Log{l}) }

// hangs runs do with three nodes, of which a leader's disk hangs while it has an entry to
// write.
func hangs(t *testing.T, limit time.Duration, do func(leader *hraft.Engine, others []*hraft.Engine)) {
	c := newMemCluster(t, 3).(*memCluster)
	stores := make([]*hanging, 3)
	c.tune = func(i int, cfg *hraft.Config) {
		stores[i] = &hanging{cfg.LogStore.(*hrafttest.Stores), make(chan struct{}, 1)}
		cfg.LogStore, cfg.StallLimit = stores[i], limit
	}
	for i := range 3 {
		if _, err := c.Start(i, nothing{}); err != nil {
			t.Fatal(err)
		}
	}
	n := leading(c.engines)
	var others []*hraft.Engine
	for i, e := range c.engines {
		if i != n {
			others = append(others, e)
		}
	}
	stores[n].held <- struct{}{}
	go func() { // raft answers when it is closed
		state, _ := c.engines[n].State()
		_, _, _ = c.engines[n].Append(t.Context(), raftstore.AppendEntry(nil, raftstore.Entry{Term: state.Term}))
	}()
	do(c.engines[n], others)
	<-stores[n].held
	for _, e := range c.engines {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// leading waits for one that leads.
func leading(engines []*hraft.Engine) int {
	for {
		for i, e := range engines {
			if state, _ := e.State(); state.Leader {
				return i
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Fault 4: a leader whose disk hangs keeps its leadership, because its heartbeats go on.
// With a limit it fails and is silent, and another leads.
func TestFault4StalledDisk(t *testing.T) {
	t.Run("guarded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			hangs(t, 0, func(leader *hraft.Engine, others []*hraft.Engine) {
				<-leader.Failed()
				if err := leader.Err(); err == nil || !strings.Contains(err.Error(), "write log: the disk does not answer for 2s") {
					t.Errorf("failed with %v", err)
				}
				next := others[leading(others)]
				state, _ := next.State()
				if _, _, err := next.Append(t.Context(), raftstore.AppendEntry(nil, raftstore.Entry{Term: state.Term})); err != nil {
					t.Errorf("append: %v", err)
				}
			})
			if took := time.Since(began); took > 10*time.Second { // of the bubble's time
				t.Errorf("it took %v", took)
			}
		})
	})
	t.Run("without the guard", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hangs(t, 24*time.Hour, func(leader *hraft.Engine, others []*hraft.Engine) {
				time.Sleep(time.Minute)
				if state, _ := leader.State(); !state.Leader || leader.Err() != nil {
					t.Errorf("%+v, failed with %v", state, leader.Err())
				}
				for _, e := range others {
					if state, _ := e.State(); state.Leader || state.LeaderID == "" {
						t.Errorf("another is in %+v", state)
					}
				}
			})
		})
	})
}

// A disk that is slow has not stalled.
func TestSlowDiskIsNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := one(t, new(hrafttest.Disk))
		stores := &hanging{cfg.LogStore.(*hrafttest.Stores), make(chan struct{}, 1)}
		cfg.LogStore = stores
		run(t, cfg, func(e *hraft.Engine, l *raftstore.Log) {
			if _, _, err := propose(t, l); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				stores.held <- struct{}{}
				time.AfterFunc(1900*time.Millisecond, func() { <-stores.held })
				if _, _, err := propose(t, l); err != nil && !errors.Is(err, raftstore.ErrUnknown) {
					t.Error(err)
				}
			}
			if err := e.Err(); err != nil {
				t.Error(err)
			}
		})
	})
}

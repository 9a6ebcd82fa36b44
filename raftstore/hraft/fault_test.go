package hraft_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft"
	"coordd.dev/raftstore/hraft/hrafttest"
)

// Fault 7: a future of raft may never come: its timeout is for the queue only. Whoever
// waits for an entry waits no longer than it wants to.
func TestFault7LostFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs(t, 24*time.Hour, func(leader *hraft.Engine, _ []*hraft.Engine) {
			lost := make(chan error, 1)
			go func() { lost <- leader.Raft().Apply(nil, time.Millisecond).Error() }()
			within, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, _, err := leader.Append(within, nil); !errors.Is(err, raftstore.ErrUnknown) {
				t.Errorf("append: %v", err)
			}
			time.Sleep(time.Minute)
			select {
			case err := <-lost:
				t.Errorf("the library answers: %v", err)
			default:
			}
		})
	})
}

// A mute transport tells nobody to take over, and does not return.
type mute struct {
	*raft.NetworkTransport
	closed chan struct{}
}

func (m *mute) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest, *raft.TimeoutNowResponse) error {
	<-m.closed
	return raft.ErrTransportShutdown
}

func (m *mute) Close() error {
	select {
	case <-m.closed:
	default:
		close(m.closed)
	}
	return m.NetworkTransport.Close()
}

// Fault 8: a leader whose transfer does not come to its end refuses all entries, and leads
// on. Nobody else can; so after a while it ends.
func TestFault8StuckTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemCluster(t, 3).(*memCluster)
		c.tune = func(_ int, cfg *hraft.Config) {
			cfg.Transport = &mute{cfg.Transport.(*raft.NetworkTransport), make(chan struct{})}
		}
		for i := range 3 {
			if _, err := c.Start(i, nothing{}); err != nil {
				t.Fatal(err)
			}
		}
		n := leading(c.engines)
		leader := c.engines[n]
		state, _ := leader.State()
		entry := raftstore.AppendEntry(nil, raftstore.Entry{Term: state.Term})
		if _, _, err := leader.Append(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		if err := leader.Transfer(t.Context(), ""); err == nil {
			t.Error("transferred")
		}
		for range 60 { // without the guard, which is told of no entry here
			time.Sleep(time.Second)
			if err := leader.Raft().Apply(entry, time.Second).Error(); !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
				t.Fatalf("the library: %v", err)
			}
		}
		if state, _ := leader.State(); !state.Leader {
			t.Error("it no longer leads")
		}
		for began := time.Now(); leader.Err() == nil; time.Sleep(time.Second) {
			if _, _, err := leader.Append(t.Context(), entry); !errors.Is(err, raftstore.ErrNotLeader) {
				t.Fatalf("append: %v", err)
			}
			if time.Since(began) > 20*time.Second { // of the bubble's time
				t.Fatal("it goes on refusing")
			}
		}
		if err := leader.Err(); !strings.Contains(err.Error(), "transfer of leadership that never ends") {
			t.Errorf("failed with %v", err)
		}
		c.engines[n] = c.engines[(n+1)%3] // others lead
		leading(c.engines)
		c.engines[n] = leader
		for _, e := range c.engines {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// What no guard here can notice, because all that is on the disk agrees: a node that gets an
// old copy of its disk back has forgotten what it acknowledged. It then elects one that never
// had it, and the entry is gone. internal/peer notices if that one has seen it with more than it
// has now; here it was cut off, and has not. docs/disks.md says so.
func TestOldCopyLosesEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemCluster(t, 3).(*memCluster)
		machines := make([]*recorder, 3)
		start := func(i int) {
			t.Helper()
			machines[i] = new(recorder)
			if _, err := c.Start(i, machines[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			start(i)
		}
		n := leading(c.engines)
		behind, restored := (n+1)%3, (n+2)%3
		appends := func(e *hraft.Engine) {
			t.Helper()
			state, _ := e.State()
			if _, _, err := e.Append(t.Context(), raftstore.AppendEntry(nil, raftstore.Entry{Term: state.Term})); err != nil {
				t.Fatal(err)
			}
		}
		appends(c.engines[n])
		time.Sleep(time.Second) // of the bubble's: everybody has it
		before := c.disks[restored].Copy()
		c.Partition([]int{n, restored}, []int{behind})
		appends(c.engines[n]) // acknowledged, by two of three
		c.Kill(restored)
		c.Kill(n)
		c.Heal()
		c.disks[restored] = before
		start(restored)
		dead := c.engines[n]
		c.engines[n] = c.engines[behind]
		appends(c.engines[leading(c.engines)])
		time.Sleep(time.Second)
		if got := machines[behind].applied.Load(); got != 2 {
			t.Errorf("%d entries, not the first and the last: was the one between found?", got)
		}
		c.engines[n] = dead
		for _, e := range c.engines {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A store with a first snapshot that cannot be read.
type firstSpoiled struct {
	*hrafttest.Stores
	first string
}

func (s *firstSpoiled) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if s.first == "" {
		s.first = id
	}
	if id == s.first {
		return nil, nil, errors.New("CRC mismatch")
	}
	return s.Stores.Open(id)
}

// A leader whose newest snapshot is damaged makes another for a follower that needs one,
// once there is anything new. Left to itself that would come after 16,384 entries.
func TestDamagedSnapshotOfALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMemCluster(t, 3).(*memCluster)
		c.tune = func(_ int, cfg *hraft.Config) {
			cfg.SnapshotStore = &firstSpoiled{Stores: cfg.SnapshotStore.(*hrafttest.Stores)}
		}
		machines := make([]*recorder, 3)
		start := func(i int) {
			t.Helper()
			machines[i] = new(recorder)
			if _, err := c.Start(i, machines[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			start(i)
		}
		n := leading(c.engines)
		late := (n + 1) % 3
		c.Kill(late)
		state, _ := c.engines[n].State()
		appends := func() {
			t.Helper()
			if _, _, err := c.engines[n].Append(t.Context(), raftstore.AppendEntry(nil, raftstore.Entry{Term: state.Term})); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 { // eight stay in the log
			appends()
		}
		if err := c.engines[n].Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		appends()
		start(late)
		for machines[late].applied.Load() < 21 {
			time.Sleep(time.Second)
		}
		for _, e := range c.engines {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

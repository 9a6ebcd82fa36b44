package hraft_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"coordd.dev/raftstore"
)

// nothing is a Machine that does nothing.
type nothing struct{ raftstore.Machine }

func (nothing) Apply(_ uint64, e raftstore.Entry) ([]any, error) {
	return make([]any, len(e.Commands)), nil
}

// BenchmarkCommit is the raw commit rate: three nodes on loopback and on disk, and some
// callers that each propose, wait, and propose again.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 256, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmarkCommit(b, callers) })
	}
}

func benchmarkCommit(b *testing.B, callers int) {
	leader := benchCluster(b)
	command := make([]byte, 64)
	latencies := make([][]time.Duration, callers)
	var all sync.WaitGroup
	b.ResetTimer()
	for i := range callers {
		n := b.N / callers
		if i < b.N%callers {
			n++
		}
		all.Go(func() {
			took := make([]time.Duration, 0, n)
			for range n {
				began := time.Now()
				if _, _, err := leader.Propose(context.Background(), command); err != nil {
					b.Error(err)
					return
				}
				took = append(took, time.Since(began))
			}
			latencies[i] = took
		})
	}
	all.Wait()
	b.StopTimer()
	took := slices.Concat(latencies...)
	if len(took) == 0 {
		return // the first call failed
	}
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	for _, p := range []int{10, 50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds()), fmt.Sprintf("p%d-µs", p))
	}
}

// benchCluster starts three nodes and returns the log of the one that leads.
func benchCluster(b *testing.B) *raftstore.Log {
	c := newDisks(b, 3)
	c.timeout = 2 * time.Second // a busy machine is not to cost the leader its term
	logs := make([]*raftstore.Log, 3)
	for i := range logs {
		engine, err := c.Start(i, nothing{})
		if err != nil {
			b.Fatal(err)
		}
		logs[i] = raftstore.NewLog(engine, raftstore.Config{})
		b.Cleanup(func() {
			if err := logs[i].Close(); err != nil {
				b.Error(err)
			}
			if err := engine.Close(); err != nil {
				b.Error(err)
			}
		})
	}
	for {
		for _, l := range logs {
			lead, changed := l.Leadership()
			if lead.Leading {
				return l
			}
			if lead.LeaderID != "" {
				continue
			}
			<-changed
		}
	}
}

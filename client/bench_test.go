package client_test

import (
	"fmt"
	"sync"
	"testing"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// BenchmarkLockUnlock is Lock and Unlock of locks that nobody else wants, by as many
// goroutines of one client as said, on one node in memory: what the client, its one
// stream and the server cost, without disks. One op is a Lock and an Unlock.
func BenchmarkLockUnlock(b *testing.B) {
	for _, goroutines := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			c := coordtest.New(b).Dial()
			locks := make([]*client.Mutex, goroutines)
			for i := range locks {
				locks[i] = c.Mutex(fmt.Sprintf("lock/%d", i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, mu := range locks {
				n := b.N / goroutines
				if i < b.N%goroutines {
					n++
				}
				wg.Go(func() {
					for range n {
						pass(mu)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
		})
	}
}

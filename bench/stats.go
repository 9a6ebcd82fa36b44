package main

import (
	"slices"
	"sync"
	"time"
)

// A sample is what one worker measured: operations and how long each took.
type sample struct{ latencies []time.Duration }

// A result is one point of a run.
type result struct {
	System     string        `json:"system"`
	Goroutines int           `json:"goroutines"`
	Round      int           `json:"round"`
	PerSecond  float64       `json:"per_second"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
	P999       time.Duration `json:"p999_ns"`
	N          int           `json:"n"`
}

// summarize makes a point of all workers' samples, taken in elapsed.
func summarize(samples []sample, elapsed time.Duration) result {
	var all []time.Duration
	for _, s := range samples {
		all = append(all, s.latencies...)
	}
	slices.Sort(all)
	at := func(q float64) time.Duration {
		if len(all) == 0 {
			return 0
		}
		return all[min(int(q*float64(len(all))), len(all)-1)]
	}
	return result{
		PerSecond: float64(len(all)) / elapsed.Seconds(),
		P50:       at(0.50), P99: at(0.99), P999: at(0.999), N: len(all),
	}
}

// median is the point with the median rate of several rounds.
func median(points []result) result {
	slices.SortFunc(points, func(a, b result) int {
		switch {
		case a.PerSecond < b.PerSecond:
			return -1
		case a.PerSecond > b.PerSecond:
			return 1
		}
		return 0
	})
	return points[len(points)/2]
}

// drive runs n workers for as long as it takes to warm up and then measure. Each calls
// op again and again; op's duration counts if it began and ended within the measurement.
func drive(n int, warm, measure time.Duration, op func(worker int) (time.Duration, error)) (result, error) {
	start := time.Now()
	from, to := start.Add(warm), start.Add(warm+measure)
	samples := make([]sample, n)
	errs := make([]error, n)
	var group sync.WaitGroup
	for w := range n {
		group.Go(func() {
			for {
				began := time.Now()
				if began.After(to) {
					return
				}
				took, err := op(w)
				if err != nil {
					errs[w] = err
					return
				}
				if began.After(from) && time.Now().Before(to) {
					samples[w].latencies = append(samples[w].latencies, took)
				}
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return result{}, err
		}
	}
	return summarize(samples, measure), nil
}

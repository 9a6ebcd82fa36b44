package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

func main() {
	debug.SetGCPercent(400) // runs are short and leave much behind
	if err := mainErr(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func mainErr(args []string, out io.Writer) error {
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	duration := f.Duration("duration", 10*time.Second, "how long to run seeds, in real time")
	first := f.Uint64("seed", uint64(time.Now().UnixNano()), "the first seed")
	workers := f.Int("workers", runtime.GOMAXPROCS(0), "how many run at once")
	one := f.String("case", "", "run this one case")
	shrinking := f.Bool("shrink", true, "look for a smaller case that fails in the same way")
	trace := f.Bool("trace", false, "print what happens in it")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *one != "" {
		c, err := parseCase(*one)
		if err != nil {
			return err
		}
		to := io.Writer(nil)
		if *trace {
			to = out
		}
		return run(c, new(tally), to)
	}
	return runSeeds(*first, *duration, *workers, *shrinking, out)
}

// runSeeds runs seed after seed until the time is over or one fails; each worker at
// least one.
func runSeeds(first uint64, d time.Duration, workers int, shrinking bool, out io.Writer) error {
	begin := time.Now()
	results := make([]batch, workers)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			b := &results[i]
			for seed := first + uint64(i); (b.runs == 0 || time.Since(begin) < d) && b.err == nil; seed += uint64(workers) {
				b.c = caseOf(seed)
				b.err = run(b.c, &b.tally, nil)
				b.runs++
				b.virtual += b.c.Span
			}
		})
	}
	all.Wait()
	var total batch
	for i := range results {
		b := &results[i]
		total.tally.add(&b.tally)
		total.runs += b.runs
		total.virtual += b.virtual
		if b.err != nil && total.err == nil {
			total.c, total.err = b.c, b.err
		}
	}
	took := time.Since(begin)
	fmt.Fprintf(out, "%d seeds from %d in %.1fs: %.0f a second, %v of faults\n%s",
		total.runs, first, took.Seconds(), float64(total.runs)/took.Seconds(),
		total.virtual.Round(time.Minute), &total.tally)
	if total.err != nil {
		fmt.Fprintf(out, "FAILED %v\n%v\n", total.c, total.err)
		if shrinking {
			total.c, total.err = shrink(total.c, total.err, func(c testCase) error { return run(c, new(tally), nil) })
		}
		return fmt.Errorf("%w\nrun it again: go run ./test/sim -case '%v' -trace", total.err, total.c)
	}
	if missing := total.tally.missing(); len(missing) > 0 && total.runs >= enoughRuns {
		return fmt.Errorf("sim: never reached in %d runs: %q", total.runs, missing)
	}
	return nil
}

// enoughRuns is after how many a state that was never reached is a failure.
const enoughRuns = 20_000

type batch struct {
	c       testCase
	err     error
	runs    int
	virtual time.Duration
	tally   tally
}

package main

import (
	"strings"
	"time"
)

// shrink looks for a smaller case that fails in the same way: fewer kinds of faults, fewer
// of everything, less time. It stops when nothing can be left out.
func shrink(c testCase, err error, run func(testCase) error) (testCase, error) {
	for again := true; again; {
		again = false
		for _, smaller := range smallerCases(c) {
			if e := run(smaller); e != nil && kind(e) == kind(err) {
				c, err, again = smaller, e, true
				break
			}
		}
	}
	return c, err
}

// kind is what a failure is about: its first words, without the time.
func kind(err error) string {
	words := strings.SplitN(err.Error(), ": ", 3)
	if len(words) < 2 {
		return words[0]
	}
	return words[1]
}

func smallerCases(c testCase) (out []testCase) {
	for i := range faultNames() {
		if d := c; d.Faults.has(1 << i) {
			d.Faults &^= 1 << i
			out = append(out, d)
		}
	}
	for _, n := range []func(*testCase) *int{
		func(c *testCase) *int { return &c.Nodes },
		func(c *testCase) *int { return &c.Clients },
		func(c *testCase) *int { return &c.Users },
		func(c *testCase) *int { return &c.Objects },
	} {
		if d := c; *n(&d) > 1 {
			*n(&d)--
			out = append(out, d)
		}
	}
	if d := c; d.Callers > 0 {
		d.Callers--
		out = append(out, d)
	}
	for _, part := range []time.Duration{2, 4, 10} {
		if d := c; d.Span > 20*time.Millisecond {
			d.Span -= d.Span / part
			out = append(out, d)
		}
	}
	return out
}

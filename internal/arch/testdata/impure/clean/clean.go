// Package clean breaks no rule, however close it comes to one.
package clean

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Grace has the words of time and no clock.
const Grace = 2 * time.Second

type table map[string]int

func left(d time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v", (d - Grace).Truncate(time.Millisecond).Seconds())
	return b.String()
}

func sum(t table) (n int) {
	// order-free: a sum
	for _, v := range t {
		n += v
	}
	for range t { // order-free: a count
		n++
	}
	return n
}

func sorted(t table) []string {
	var keys []string
	// The order of the map is undone below.
	// order-free: sorted below
	for k := range t {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i := range keys {
		_ = i
	}
	for i := range 3 {
		_ = i
	}
	return keys
}

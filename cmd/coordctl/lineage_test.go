package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var allowUnexported = cmp.AllowUnexported(claim{})

func TestLineageRoundTrip(t *testing.T) {
	claims := rapid.Custom(func(t *rapid.T) claim {
		c := claim{name: rapid.StringN(1, 40, 256).Draw(t, "name")}
		switch c.kind = rapid.SampledFrom([]string{kindLock, kindSemaphore, kindElection}).Draw(t, "kind"); c.kind {
		case kindLock:
			c.shared = rapid.Bool().Draw(t, "shared")
		case kindSemaphore:
			c.count = rapid.Int64Min(1).Draw(t, "count")
		}
		return c
	})
	rapid.Check(t, func(t *rapid.T) {
		var want lineage
		for range rapid.IntRange(0, maxLineage).Draw(t, "n") {
			want = want.with(claims.Draw(t, "claim"))
		}
		got, err := parseLineage(want.String())
		if err != nil {
			t.Fatalf("%q: %v", want.String(), err)
		}
		if d := cmp.Diff(want, got, allowUnexported); d != "" {
			t.Fatal(d)
		}
	})
}

func TestLineageRefusesGarbage(t *testing.T) {
	for _, s := range []string{
		"deploy", "lock:deploy", "lock:x:", "lock:z:deploy", "election:s:primary", "mutex:x:deploy",
		"semaphore:0:pool", "semaphore:-1:pool", "semaphore:many:pool", "lock:x:%zz",
		strings.Repeat("lock:x:a ", maxLineage+1),
	} {
		if l, err := parseLineage(s); err == nil {
			t.Errorf("parseLineage(%.20q) = %v", s, l)
		}
	}
}

func TestLineageConflict(t *testing.T) {
	held := lineage{
		{kind: kindLock, name: "mine"},
		{kind: kindLock, name: "read", shared: true},
		{kind: kindSemaphore, name: "pool", count: 2},
		{kind: kindSemaphore, name: "pool", count: 1},
	}
	for _, c := range []struct {
		want     claim
		conflict bool
	}{
		{claim{kind: kindLock, name: "other"}, false},
		{claim{kind: kindLock, name: "mine"}, true},
		{claim{kind: kindLock, name: "mine", shared: true}, true},
		{claim{kind: kindLock, name: "read"}, true},
		{claim{kind: kindLock, name: "read", shared: true}, false},
		{claim{kind: kindLock, name: "pool"}, false},
		{claim{kind: kindSemaphore, name: "mine", count: 1, limit: 1}, false},
		{claim{kind: kindSemaphore, name: "pool", count: 1, limit: 4}, false},
		{claim{kind: kindSemaphore, name: "pool", count: 2, limit: 4}, true},
		{claim{kind: kindSemaphore, name: "pool", count: 1, limit: 3}, true},
		{claim{kind: kindSemaphore, name: "pool", count: 1, limit: 2}, true},
	} {
		if why := held.conflict(c.want); (why != "") != c.conflict {
			t.Errorf("%+v: %q", c.want, why)
		}
	}
}

// with must not write into an array that an outer lineage shares.
func TestLineageWithCopies(t *testing.T) {
	l := make(lineage, 1, 4)
	a, b := l.with(claim{name: "a"}), l.with(claim{name: "b"})
	if a[1].name != "a" || b[1].name != "b" {
		t.Errorf("a ends with %q, b with %q", a[1].name, b[1].name)
	}
}

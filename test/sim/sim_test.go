package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSeeds runs fixed seeds, so that what it reaches is as fixed as the code.
func TestSeeds(t *testing.T) {
	var total tally
	for seed := range uint64(2_000) {
		c := caseOf(seed)
		if err := run(c, &total, nil); err != nil {
			small, err := shrink(c, err, silent)
			t.Fatalf("%v\nrun it again: go run ./test/sim -case '%v' -trace", err, small)
		}
	}
	t.Logf("\n%v", &total)
	for _, name := range total.missing() {
		t.Errorf("never reached: %s", name)
	}
}

func silent(c testCase) error { return run(c, new(tally), nil) }

// TestCases runs the cases worth keeping.
func TestCases(t *testing.T) {
	data, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		c, err := parseCase(line)
		if err != nil {
			t.Fatal(err)
		}
		if c.String() != line {
			t.Errorf("the case\n%s\nis printed as\n%v", line, c)
		}
		if err := silent(c); err != nil {
			t.Errorf("%v\nrun it again: go run ./test/sim -case '%v' -trace", err, c)
		}
	}
}

// TestSameSeedSameRun holds that a case determines its run: no map order, no clock.
func TestSameSeedSameRun(t *testing.T) {
	for seed := range uint64(20) {
		c := caseOf(seed)
		var first, second bytes.Buffer
		if err := errors.Join(run(c, new(tally), &first), run(c, new(tally), &second)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("%v: two runs differ: %s", c, cmp.Diff(
				strings.Split(first.String(), "\n"), strings.Split(second.String(), "\n")))
		}
	}
}

func TestShrink(t *testing.T) {
	fails := func(c testCase) error {
		switch {
		case c.Faults.has(faultCut) && c.Clients >= 2:
			return errors.New("at 1s: exclusion: as planted")
		case c.Faults.has(faultElect):
			return errors.New("at 1s: liveness: another one")
		}
		return nil
	}
	c := caseOf(5)
	c.Faults, c.Clients, c.Users, c.Nodes, c.Objects = faultsAll, 3, 3, 3, 3
	small, err := shrink(c, fails(c), fails)
	if small.Faults != faultCut || small.Clients != 2 || small.Users != 1 || small.Nodes != 1 || small.Objects != 1 {
		t.Errorf("shrunk to %v", small)
	}
	if kind(err) != "exclusion" {
		t.Errorf("fails with %v", err)
	}
}

func TestParseCaseRefuses(t *testing.T) {
	for _, s := range []string{"", "seed", "seed=x", "seed=1 faults=quake", "seed=1 span=1", "seed=1 colour=red"} {
		if c, err := parseCase(s); err == nil {
			t.Errorf("%q is %v", s, c)
		}
	}
}

func TestCommand(t *testing.T) {
	var out bytes.Buffer
	if err := mainErr([]string{"-duration", "50ms", "-seed", "1", "-workers", "1"}, &out); err != nil {
		t.Fatal(err)
	}
	var seeds int
	if _, err := fmt.Sscanf(out.String(), "%d seeds from 1 in", &seeds); err != nil || seeds < 1 {
		t.Errorf("printed %q", out.String())
	}
	out.Reset()
	if err := mainErr([]string{"-case", "seed=1 span=100ms", "-trace"}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "is attached to session 1") {
		t.Errorf("traced %q", out.String())
	}
}

package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// A testCase determines a run. Its text is what a failure prints.
type testCase struct {
	Seed    uint64
	Span    time.Duration // of faults and new work, before all heals
	Nodes   int
	Clients int
	Users   int // a client
	Objects int // of each kind
	Callers int // without a stream
	Faults  faults
}

// faults is a set of kinds of faults.
type faults uint32

const (
	faultCut      faults = 1 << iota // streams are lost
	faultLate                        // what was on a lost stream arrives late
	faultHalfOpen                    // the answers of a stream are lost before the stream
	faultRenewal                     // renewals, or their answers, are lost or slow
	faultElect                       // leaders change
	faultDeposed                     // and the old one goes on for a while
	faultOutage                      // nobody leads for a while
	faultUnknown                     // a leader does not learn what became of an entry
	faultSlow                        // entries commit slowly
	faultPause                       // leaders stand still
	faultStill                       // clients stand still
	faultCrash                       // clients die
	faultJump                        // clients' wall clocks jump forward
	faultRate                        // clocks run up to 5% wrong
	faultRestart                     // nodes restart from a snapshot
	faultRevoke                      // operators revoke sessions
	faultDrop                        // a server drops a frame and cuts the stream too late
	faultDouble                      // a command is in the log twice
	faultsAll     = 1<<iota - 1
)

func faultNames() []string {
	return []string{
		"cut", "late", "halfopen", "renewal", "elect", "deposed", "outage", "unknown", "slow",
		"pause", "still", "crash", "jump", "rate", "restart", "revoke", "drop", "double",
	}
}

func (f faults) has(k faults) bool { return f&k != 0 }

func (f faults) String() string {
	var words []string
	for i, name := range faultNames() {
		if f.has(1 << i) {
			words = append(words, name)
		}
	}
	return strings.Join(words, ",")
}

func parseFaults(s string) (f faults, err error) {
	if s == "" {
		return 0, nil
	}
	for _, word := range strings.Split(s, ",") {
		bit := faults(0)
		for i, name := range faultNames() {
			if name == word {
				bit = 1 << i
			}
		}
		if bit == 0 {
			return 0, fmt.Errorf("parse faults: no fault %q; there are %s", word, faults(faultsAll))
		}
		f |= bit
	}
	return f, nil
}

// caseOf picks the mix of a seed: a third of all faults in most runs, all or none in some.
func caseOf(seed uint64) testCase {
	r := rand.New(rand.NewPCG(seed, 1))
	c := testCase{
		Seed:    seed,
		Span:    time.Duration(300+r.IntN(3_700)) * time.Millisecond,
		Nodes:   1 + r.IntN(3),
		Clients: 1 + r.IntN(3),
		Users:   1 + r.IntN(3),
		Objects: 1 + r.IntN(3),
	}
	switch r.IntN(16) {
	case 0:
	case 1:
		c.Faults = faultsAll
	default:
		for i := range faultNames() {
			if r.IntN(3) == 0 {
				c.Faults |= 1 << i
			}
		}
	}
	c.Callers = r.IntN(3)
	return c
}

func (c testCase) String() string {
	return fmt.Sprintf("seed=%d span=%v nodes=%d clients=%d callers=%d users=%d objects=%d faults=%v",
		c.Seed, c.Span, c.Nodes, c.Clients, c.Callers, c.Users, c.Objects, c.Faults)
}

// parseCase is the inverse of String. What is not said is as the seed has it.
func parseCase(s string) (testCase, error) {
	words := map[string]string{}
	for _, word := range strings.Fields(s) {
		k, v, ok := strings.Cut(word, "=")
		if !ok {
			return testCase{}, fmt.Errorf("parse case: %q is not key=value", word)
		}
		words[k] = v
	}
	seed, err := strconv.ParseUint(words["seed"], 10, 64)
	if err != nil {
		return testCase{}, fmt.Errorf("parse case: seed: %w", err)
	}
	c := caseOf(seed)
	for k, v := range words {
		if err := c.set(k, v); err != nil {
			return testCase{}, fmt.Errorf("parse case: %s: %w", k, err)
		}
	}
	return c, nil
}

func (c *testCase) set(key, value string) (err error) {
	switch key {
	case "seed":
	case "span":
		c.Span, err = time.ParseDuration(value)
	case "nodes":
		c.Nodes, err = strconv.Atoi(value)
	case "clients":
		c.Clients, err = strconv.Atoi(value)
	case "callers":
		c.Callers, err = strconv.Atoi(value)
	case "users":
		c.Users, err = strconv.Atoi(value)
	case "objects":
		c.Objects, err = strconv.Atoi(value)
	case "faults":
		c.Faults, err = parseFaults(value)
	default:
		err = fmt.Errorf("no such key")
	}
	return err
}

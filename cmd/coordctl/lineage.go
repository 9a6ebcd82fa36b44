package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// The environment of a child.
const (
	envToken     = "COORD_FENCING_TOKEN"
	envName      = "COORD_LOCK_NAME"
	envKind      = "COORD_LOCK_KIND"
	envSession   = "COORD_SESSION_ID"
	envLineage   = "COORD_LINEAGE"
	envEndpoints = "COORD_ENDPOINTS"
)

// maxLineage is how deep runs may nest.
const maxLineage = 64

// A claim is what one run holds or wants to hold.
type claim struct {
	kind   string // kindLock, kindSemaphore or kindElection
	name   string
	shared bool  // of a lock
	count  int64 // of a semaphore, at least 1
	limit  int64 // of a semaphore that is wanted; the lineage does not tell it

	value    string // of a candidate; the lineage does not tell it, nor its priority
	priority int
}

const (
	kindLock      = "lock"
	kindSemaphore = "semaphore"
	kindElection  = "election"
)

// A lineage is what a run's ancestors hold, the oldest first. It knows names, not
// clusters: whoever nests runs on two clusters unsets COORD_LINEAGE in between.
//
// In the environment it is a list of entries parted by spaces:
//
//	lock:x:NAME  lock:s:NAME  semaphore:COUNT:NAME  election:x:NAME
//
// where NAME is escaped as in the path of a URL, so that it has no space.
type lineage []claim

func parseLineage(s string) (lineage, error) {
	var l lineage
	for entry := range strings.FieldsSeq(s) {
		c, err := parseClaim(entry)
		if err != nil {
			return nil, fmt.Errorf("entry %s: %w", show(entry), err)
		}
		l = append(l, c)
	}
	if len(l) > maxLineage {
		return nil, fmt.Errorf("%d entries, more than %d", len(l), maxLineage)
	}
	return l, nil
}

func parseClaim(entry string) (claim, error) {
	parts := strings.SplitN(entry, ":", 3)
	if len(parts) != 3 {
		return claim{}, errors.New("not kind:mode:name")
	}
	name, err := url.PathUnescape(parts[2])
	if err != nil || name == "" {
		return claim{}, errors.New("bad name")
	}
	c := claim{kind: parts[0], name: name}
	switch c.kind {
	case kindLock:
		c.shared = parts[1] == "s"
		if !c.shared && parts[1] != "x" {
			return claim{}, errors.New("neither x nor s")
		}
	case kindElection:
		if parts[1] != "x" {
			return claim{}, errors.New("not x")
		}
	case kindSemaphore:
		c.count, err = strconv.ParseInt(parts[1], 10, 64)
		if err != nil || c.count < 1 {
			return claim{}, errors.New("bad count")
		}
	default:
		return claim{}, errors.New("unknown kind")
	}
	return c, nil
}

func (l lineage) String() string {
	entries := make([]string, len(l))
	for i, c := range l {
		mode := "x"
		switch {
		case c.kind == kindSemaphore:
			mode = strconv.FormatInt(c.count, 10)
		case c.shared:
			mode = "s"
		}
		entries[i] = c.kind + ":" + mode + ":" + url.PathEscape(c.name)
	}
	return strings.Join(entries, " ")
}

// with returns l and c. It does not share l's memory.
func (l lineage) with(c claim) lineage {
	return append(l[:len(l):len(l)], c)
}

// conflict says why c would wait for one of its own ancestors, which wait for it; ""
// if it would not. Only what is certain is refused: two shared locks of one name go
// together, although a writer that queues between them would make them wait.
func (l lineage) conflict(c claim) string {
	mine := int64(0)
	for _, held := range l {
		if held.kind != c.kind || held.name != c.name {
			continue
		}
		if c.kind == kindSemaphore {
			mine += held.count
			continue
		}
		switch {
		case c.kind == kindElection:
			return "this run is inside one that leads it"
		case !held.shared:
			return "this run is inside one that holds it"
		case !c.shared:
			return "this run is inside one that shares it, and a shared lock cannot become exclusive"
		}
	}
	if mine > 0 && c.count > c.limit-mine {
		return fmt.Sprintf("this run is inside ones that hold %d of its %s", mine, plural(int(c.limit), "permit"))
	}
	return ""
}

package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coordd.dev/client"
)

// maxLineage is how deep runs may nest.
const maxLineage = 64

// A claim is what one run holds or wants to hold.
type claim struct {
	kind   string
	name   string
	shared bool          // of a lock
	count  int64         // of a semaphore, at least 1
	id     client.HoldID // what the cluster calls it, once it is held; "" if that is not known

	// The lineage does not tell what follows.

	limit    int64        // of a semaphore; of a channel its capacity
	codec    client.Codec // of a channel
	value    string       // of a candidate
	priority int          // of a candidate
}

const (
	kindLock      = "lock"
	kindSemaphore = "semaphore"
	kindElection  = "election"
	kindChannel   = "channel"
	kindWaitGroup = "waitgroup"
)

// A lineage is what a run's ancestors hold, the oldest first. By the ids the cluster finds
// deadlocks among runs, and another cluster knows that they are none of its own. By the
// names a run is refused at once that would wait for its own ancestor; they know no
// clusters: whoever nests runs on two clusters unsets COORD_LINEAGE in between.
//
// In the environment it is a list of entries parted by spaces:
//
//	lock:x:NAME  lock:s:NAME  semaphore:COUNT:NAME  election:x:NAME  channel:x:NAME
//
// where NAME is escaped as in the path of a URL, so that it has no space, and is followed by a
// comma and the id of the hold.
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
	escaped, id, _ := strings.Cut(parts[2], ",")
	name, err := url.PathUnescape(escaped)
	if err != nil || name == "" {
		return claim{}, errors.New("bad name")
	}
	c := claim{kind: parts[0], name: name, id: client.HoldID(id)}
	switch c.kind {
	case kindLock:
		c.shared = parts[1] == "s"
		if !c.shared && parts[1] != "x" {
			return claim{}, errors.New("neither x nor s")
		}
	case kindElection, kindChannel:
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
		if c.id != "" {
			entries[i] += "," + string(c.id)
		}
	}
	return strings.Join(entries, " ")
}

// with returns l and c. It does not share l's memory.
func (l lineage) with(c claim) lineage {
	return append(l[:len(l):len(l)], c)
}

// ids are of the holds that have one, the latest first.
func (l lineage) ids() []client.HoldID {
	var ids []client.HoldID
	for _, c := range slices.Backward(l) {
		if c.id != "" {
			ids = append(ids, c.id)
		}
	}
	return ids
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
		switch {
		case c.kind == kindSemaphore:
			mine += held.count
		case c.kind == kindChannel: // of several deliveries none is in the way of another
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

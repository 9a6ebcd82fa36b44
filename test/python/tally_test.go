package python

import (
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	coordv1 "coordd.dev/api/coord/v1"
)

// A tally is what some programs say that they did.
type tally struct {
	rounds        int
	tokens, terms []uint64
}

var (
	lockedLine = regexp.MustCompile(`(?m)^round \d+: locked \S+, token (\d+)$`)
	leadsLine  = regexp.MustCompile(`(?m)^round \d+: leads \S+, term (\d+)$`)
	endLine    = regexp.MustCompile(`(?m)^(\d+) calls were (\d+) requests, (\d+) answers were thrown away$`)
)

// add counts what a program printed.
func (t *tally) add(printed string) error {
	rounds := len(lockedLine.FindAllString(printed, -1))
	for line, to := range map[*regexp.Regexp]*[]uint64{lockedLine: &t.tokens, leadsLine: &t.terms} {
		found := line.FindAllStringSubmatch(printed, -1)
		if len(found) != rounds {
			return fmt.Errorf("%d lines like %v, not %d", len(found), line, rounds)
		}
		for _, f := range found {
			n, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				return fmt.Errorf("read line %q: %w", f[0], err)
			}
			*to = append(*to, n)
		}
	}
	end := endLine.FindStringSubmatch(printed)
	if end == nil || rounds == 0 {
		return fmt.Errorf("no last line, or no round")
	}
	calls, _ := strconv.Atoi(end[1])
	requests, _ := strconv.Atoi(end[2])
	if requests < 3*calls || end[3] != end[1] {
		return fmt.Errorf("it was not unreliable: %s", end[0])
	}
	t.rounds += rounds
	return nil
}

// What the cluster must have recorded of an object: each type of change so many times in a
// round, and of those that have tokens exactly the programs'.
type expectation struct {
	kind   coordv1.Kind
	types  map[coordv1.ChangeType]int // in a round
	tokens func(*tally) []uint64
}

func expectations() []expectation {
	return []expectation{
		{coordv1.Kind_KIND_LOCK, map[coordv1.ChangeType]int{
			coordv1.ChangeType_CHANGE_TYPE_GRANTED: 1,
			coordv1.ChangeType_CHANGE_TYPE_ENDED:   1,
		}, func(t *tally) []uint64 { return t.tokens }},
		{coordv1.Kind_KIND_SEMAPHORE, map[coordv1.ChangeType]int{
			coordv1.ChangeType_CHANGE_TYPE_GRANTED: 1,
			coordv1.ChangeType_CHANGE_TYPE_ENDED:   2, // one permit, and then the others
		}, nil},
		{coordv1.Kind_KIND_ELECTION, map[coordv1.ChangeType]int{
			coordv1.ChangeType_CHANGE_TYPE_GRANTED:    1,
			coordv1.ChangeType_CHANGE_TYPE_PROCLAIMED: 1,
			coordv1.ChangeType_CHANGE_TYPE_ENDED:      1,
		}, func(t *tally) []uint64 { return t.terms }},
	}
}

// faults is every way in which the record of changes is not what the programs say.
func (t *tally) faults(changes []*coordv1.ObjectChange, name string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, e := range expectations() {
		seen, permits := map[coordv1.ChangeType]int{}, int64(0)
		var granted []uint64
		for _, c := range changes {
			if c.GetKind() != e.kind || c.GetName() != name {
				continue
			}
			seen[c.GetType()]++
			switch c.GetType() {
			case coordv1.ChangeType_CHANGE_TYPE_GRANTED:
				granted = append(granted, c.GetToken())
				permits += c.GetCount()
			case coordv1.ChangeType_CHANGE_TYPE_ENDED:
				permits -= c.GetCount()
			}
		}
		for _, typ := range slices.Sorted(keys(seen, e.types)) {
			if want := e.types[typ] * t.rounds; seen[typ] != want {
				fault("%v: %v %d times, not %d", e.kind, typ, seen[typ], want)
			}
		}
		if permits != 0 {
			fault("%v: %d are out in the end", e.kind, permits)
		}
		if e.tokens == nil {
			continue
		}
		if !slices.IsSorted(granted) {
			fault("%v: tokens are not granted in their order: %v", e.kind, granted)
		}
		told := slices.Clone(e.tokens(t))
		slices.Sort(told)
		if !slices.Equal(told, granted) {
			fault("%v: the programs had tokens %v, the cluster granted %v", e.kind, told, granted)
		}
	}
	return faults
}

// keys are all that the maps have.
func keys(sets ...map[coordv1.ChangeType]int) iter.Seq[coordv1.ChangeType] {
	all := map[coordv1.ChangeType]int{}
	for _, m := range sets {
		maps.Copy(all, m)
	}
	return maps.Keys(all)
}

// What a retry that is done twice would leave is seen.
func TestFaultsAreSeen(t *testing.T) {
	const printed = "session 1, renewed\nround 1: locked x, token 1\nround 1: leads x, term 2\n8 calls were 24 requests, 8 answers were thrown away\n"
	var good tally
	if err := good.add(printed); err != nil {
		t.Fatal(err)
	}
	change := func(kind coordv1.Kind, typ coordv1.ChangeType, token uint64, count int64) *coordv1.ObjectChange {
		return &coordv1.ObjectChange{Kind: kind, Name: "x", Type: typ, Token: token, Count: count}
	}
	const (
		lock, sem, election = coordv1.Kind_KIND_LOCK, coordv1.Kind_KIND_SEMAPHORE, coordv1.Kind_KIND_ELECTION

		granted, ended, proclaimed = coordv1.ChangeType_CHANGE_TYPE_GRANTED, coordv1.ChangeType_CHANGE_TYPE_ENDED, coordv1.ChangeType_CHANGE_TYPE_PROCLAIMED
	)
	changes := []*coordv1.ObjectChange{
		change(lock, granted, 1, 1), change(lock, ended, 1, 1),
		change(sem, granted, 0, 3), change(sem, ended, 0, 1), change(sem, ended, 0, 2),
		change(election, granted, 2, 1), change(election, proclaimed, 2, 1), change(election, ended, 2, 1),
	}
	if faults := good.faults(changes, "x"); len(faults) != 0 {
		t.Errorf("of what is right: %v", faults)
	}
	for i := range changes {
		if len(good.faults(slices.Insert(slices.Clone(changes), i, changes[i]), "x")) == 0 {
			t.Errorf("change %d twice is not seen", i)
		}
		if len(good.faults(slices.Delete(slices.Clone(changes), i, i+1), "x")) == 0 {
			t.Errorf("change %d left out is not seen", i)
		}
	}
	changes[0] = change(lock, granted, 7, 1)
	if len(good.faults(changes, "x")) == 0 {
		t.Error("another token is not seen")
	}
	for what, bad := range map[string]string{
		"a reliable one": strings.Replace(printed, "24 requests", "8 requests", 1),
		"no end":         printed[:strings.Index(printed, "8 calls")],
		"half a round":   strings.Replace(printed, "round 1: leads", "round 1: meets", 1),
	} {
		if new(tally).add(bad) == nil {
			t.Errorf("%s is not seen", what)
		}
	}
}

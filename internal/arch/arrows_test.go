package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// arrows says which packages of this module each package may import. A row that ends
// in /... is for a whole tree. What a row does not name is refused.
//
//	wire <- cow <- park <- session, lock, election, latch, table, channel <- machine <- server
//
// raftstore knows none of them: it is given Apply, Snapshot and Restore. The client
// sees the api and its own pure half. Only coordd and coordtest see an engine and the
// server both.
var arrows = map[string][]string{
	"api/coord/v1": {},

	"internal/wire":    {},
	"internal/cow":     {"internal/wire"},
	"internal/park":    {"internal/cow", "internal/wire"},
	"internal/session": {"internal/park", "internal/cow", "internal/wire"},
	"lock":             {"internal/park", "internal/cow", "internal/wire"},
	"election":         {"internal/park", "internal/cow"},
	"channel":          {"internal/park", "internal/cow", "internal/wire"},
	"latch":            {"internal/park", "internal/cow", "internal/wire"},
	"table":            {"internal/park", "internal/cow", "internal/wire"},
	"internal/machine": {"internal/session", "lock", "election", "latch", "table", "channel", "internal/park", "internal/cow", "internal/wire"},
	"internal/lessee":  {},
	"internal/durable": {},
	"internal/backup":  {},
	"internal/certs":   {"internal/durable"},

	"internal/telemetry": {},
	"internal/rights":    {},
	"internal/audit":     {},

	"raftstore":                 {"internal/telemetry", "raftstore/internal/latest"},
	"raftstore/internal/latest": {},
	"raftstore/hraft":           {"internal/durable", "raftstore", "raftstore/internal/latest"},
	"raftstore/enginetest":      {"raftstore", "raftstore/internal/latest"},
	"raftstore/hraft/hrafttest": {"raftstore", "raftstore/hraft"},

	"internal/server": {"api/coord/v1", "internal/backup", "internal/certs", "internal/machine", "internal/session", "lock", "election", "latch", "table", "channel", "internal/park", "internal/rights", "internal/audit", "internal/telemetry", "raftstore"},
	"internal/peer":   {"api/coord/v1", "internal/certs", "internal/durable", "raftstore"},

	"client":                        {"api/coord/v1", "internal/certs", "internal/lessee", "internal/telemetry"},
	"client/fence":                  {"client", "client/fence/internal/carried"},
	"client/fence/grpcfence":        {"client", "client/fence/internal/carried"},
	"client/fence/internal/carried": {"client"},
	"client/protocodec":             {"client"},
	"internal/gateway":              {"api/coord/v1", "internal/certs", "internal/gateway/coordv1"},
	"internal/gateway/coordv1":      {"api/coord/v1"},

	"cmd/coordctl": {"api/coord/v1", "client", "internal/backup", "internal/certs", "internal/durable"},
	"cmd/coordd":   {"api/coord/v1", "internal/audit", "internal/certs", "internal/gateway", "internal/peer", "internal/rights", "internal/server", "raftstore", "raftstore/hraft"},
	"coordtest": {
		"api/coord/v1", "client", "internal/server", "internal/park", "raftstore", "raftstore/hraft", "raftstore/hraft/hrafttest",
	},

	"internal/arch": {},
	"test/sim/...":  {"internal/machine", "internal/session", "lock", "election", "latch", "table", "channel", "internal/park", "internal/cow", "internal/wire", "internal/lessee", "test/sim/..."},
	"test/ports":    {},
	"test/otlp":     {},
	"test/daemons":  {"api/coord/v1", "test/ports"},
	"test/abuse":    {"api/coord/v1", "client", "test/daemons"},
	"test/e2e":      {"api/coord/v1", "client", "client/fence", "test/daemons", "test/otlp"},
	"test/fence":    {},
	"test/postgres": {},
	"test/docs":     {"test/daemons"},
	"test/python":   {"api/coord/v1", "test/daemons"},
	"bench/...":     {"api/coord/v1", "client", "raftstore", "raftstore/hraft", "test/daemons", "bench/..."},
	"examples/...":  {"client", "client/fence", "coordtest", "examples/internal/stage", "examples/internal/stage/stagetest"},

	"examples/internal/stage":           {"client"},
	"examples/internal/stage/stagetest": {"client", "coordtest"},
}

func TestArrows(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 10 {
		t.Fatalf("only %d packages listed", len(packages))
	}
	for _, p := range packages {
		for _, fault := range against(arrows, p) {
			t.Error(fault)
		}
	}
}

// against says what of p's imports the arrows forbid.
func against(arrows map[string][]string, p listed) []string {
	allowed, ok := row(arrows, p.room())
	if !ok {
		return []string{fmt.Sprintf("%s has no row in the table of arrows", p.room())}
	}
	var faults []string
	for _, imported := range p.Imports {
		room, ours := strings.CutPrefix(imported, module)
		if ours && !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, room) }) {
			faults = append(faults, fmt.Sprintf("%s imports %s, which the arrows forbid", p.room(), room))
		}
	}
	return faults
}

// row finds the row of a room: its own before that of a tree it is in.
func row(arrows map[string][]string, room string) ([]string, bool) {
	if allowed, ok := arrows[room]; ok {
		return allowed, true
	}
	for pattern, allowed := range arrows {
		if matches(pattern, room) {
			return allowed, true
		}
	}
	return nil, false
}

func matches(pattern, room string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return room == tree || strings.HasPrefix(room, tree+"/")
	}
	return pattern == room
}

// A row may name only what stands below its own, so the table itself cannot be turned
// into a knot.
func TestArrowsHaveNoCycle(t *testing.T) {
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(room string)
	visit = func(room string) {
		if state[room] == visiting {
			t.Fatalf("the arrows go in a circle through %s", room)
		}
		if state[room] == done {
			return
		}
		state[room] = visiting
		for _, next := range arrows[room] {
			if next != room {
				visit(next)
			}
		}
		state[room] = done
	}
	for room := range arrows {
		visit(room)
	}
}

func TestArrowsBite(t *testing.T) {
	for _, c := range []struct {
		p    listed
		want string
	}{
		{listed{ImportPath: module + "lock", Imports: []string{"fmt", module + "internal/park"}}, ""},
		{listed{ImportPath: module + "lock", Imports: []string{module + "internal/session"}}, "lock imports internal/session, which the arrows forbid"},
		{listed{ImportPath: module + "internal/park", Imports: []string{module + "lock"}}, "internal/park imports lock, which the arrows forbid"},
		{listed{ImportPath: module + "raftstore", Imports: []string{module + "internal/machine"}}, "raftstore imports internal/machine, which the arrows forbid"},
		{listed{ImportPath: module + "client", Imports: []string{module + "internal/park"}}, "client imports internal/park, which the arrows forbid"},
		{listed{ImportPath: module + "cmd/coordctl", Imports: []string{module + "internal/server"}}, "cmd/coordctl imports internal/server, which the arrows forbid"},
		{listed{ImportPath: module + "test/sim/model", Imports: []string{module + "test/sim"}}, ""},
		{listed{ImportPath: module + "util"}, "util has no row in the table of arrows"},
	} {
		got := strings.Join(against(arrows, c.p), "; ")
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.p.ImportPath, got, c.want)
		}
	}
}

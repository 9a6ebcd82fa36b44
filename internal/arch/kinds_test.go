package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A primitive is named in its own files and in these tables, and nowhere else among the rooms,
// in the machine, the server and the client: what it needs there it says through the interface
// of rooms. Who adds one touches the tables and adds files.
var tablesOfKinds = []string{
	"internal/park/call.go",      // the kinds
	"internal/machine/room.go",   // which room has which
	"internal/machine/check.go",  // what is checked of each
	"internal/machine/graph.go",  // which of them others can be stuck behind
	"internal/server/arms.go",    // what an arm of each may say
	"internal/server/convert.go", // the ops of each
	"internal/server/outcome.go", // what their refusals are called
	"internal/server/why.go",     // and why they are
	"internal/server/inspect.go", // what is told of holders
	"internal/server/selects.go", // what a select of each comes to
	"client/describe.go",         // the kinds, for users
	"client/trace.go",            // what is a span
}

// placesOfKinds are each primitive's own files, in order. What stands in a file of the mechanism
// is an exception to the rule above, and says why.
var placesOfKinds = map[string][]string{
	"Lock": {
		"client/client.go", "client/want.go",
		"internal/machine/list.go", // the first kind of all
		"internal/server/arguments.go", "lock/cond.go", "lock/lock.go",
	},
	"Semaphore": {
		"client/semaphore.go", "client/want.go", // what is wrong with a limit is said by the want
		"internal/machine/frame.go", // some permits of a hold are given back
		"internal/server/semaphores.go",
		"internal/server/telemetry.go", // its holds have no tokens
		"lock/lock.go",
	},
	"Election": {
		"client/election.go", "election/election.go",
		"internal/machine/describe.go", // its holders have values
		"internal/machine/leader.go", "internal/server/elections.go",
	},
	"Chan": {
		"channel/channel.go", "client/chan.go",
		"client/want.go", // what it was made with is a capacity
		"internal/machine/channels.go", "internal/machine/check_channels.go",
		"internal/machine/meet.go",
		"internal/machine/wait.go", // a slot or an element is for the other side at once
	},
	"WaitGroup": {"client/waitgroup.go", "internal/server/waitgroups.go", "latch/group.go"},
	"Once": {
		"client/once.go", "internal/machine/latches.go",
		"internal/machine/wait.go", // its result is read, not kept for each who waits
		"latch/once.go",
	},
	"Cond": {"client/cond.go", "internal/machine/cond.go", "internal/server/conds.go", "lock/cond.go", "lock/lock.go"},
	"Map": {
		"client/map.go", "internal/machine/tables.go", "internal/server/maps.go",
		"internal/server/watch.go", // a watch of one says its entries first
		"table/do.go",
	},
}

func TestPrimitivesKeepToTheirPlaces(t *testing.T) {
	found := kindsNamed(t)
	for kind, places := range placesOfKinds {
		for _, file := range found[kind] {
			if !slices.Contains(places, file) && !slices.Contains(tablesOfKinds, file) {
				t.Errorf("%s names the kind %s, which is none of its places: say it through the room, or say why here", file, kind)
			}
		}
		for _, file := range places {
			if !slices.Contains(found[kind], file) {
				t.Errorf("%s does not name the kind %s any more", file, kind)
			}
		}
	}
	if len(found) != len(placesOfKinds) {
		t.Errorf("%d kinds are named, and %d have places", len(found), len(placesOfKinds))
	}
}

// namesKind finds park's name of a kind, the client's, and the wire's.
var namesKind = regexp.MustCompile(`\bKind(Lock|Semaphore|Election|Chan|WaitGroup|Once|Cond|Map)\b|\bKind_KIND_([A-Z_]+)\b`)

// kindsNamed are the files that name each kind, tests apart, sorted.
func kindsNamed(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	root := "../.."
	for _, dir := range []string{"internal", "lock", "election", "channel", "latch", "table", "client"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			file, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			for _, m := range namesKind.FindAllSubmatch(text, -1) {
				kind := string(m[1])
				if kind == "" {
					kind = kindOfWire(string(m[2]))
				}
				if kind != "" && !slices.Contains(found[kind], file) {
					found[kind] = append(found[kind], filepath.ToSlash(file))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// kindOfWire is LOCK's Lock, WAIT_GROUP's WaitGroup; "" of UNSPECIFIED.
func kindOfWire(name string) string {
	switch name {
	case "UNSPECIFIED":
		return ""
	case "CHANNEL":
		return "Chan"
	}
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return b.String()
}

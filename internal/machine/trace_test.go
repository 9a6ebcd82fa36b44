package machine_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the answers and golden files of testdata instead of comparing them")

// TestTraces replays testdata/*.txt. A line that begins with "> " is an entry of the
// log, the lines under it are what the machine answered; # begins a comment. After each
// entry Check must hold, and a twin that is restored from its own snapshot after every
// entry must have answered the same. With -update the answers are written instead of
// compared: read the diff.
//
// An entry is an increment, if any, and commands:
//
//	> +1s COMMAND; COMMAND; ...
//
//	open NAME [ttl=10s] [who=W] [instance=N] [epoch=N] [replaces=NAME [secret=NAME] wanted=1-3,5]
//	attach NAME [epoch=N] [wanted=1-3,5] [secret=NAME] [instance=N]
//	renew NAME...      revoke NAME [now]      sessions      bootstrap CLUSTER FLOOR
//	NAME[@EPOCH] [acks=1-3,5] OP, OP, ...      a frame of a session's stream
//	caller NAME [ttl=10s] [who=W]              opens a session without a stream
//	call NAME ID OP      call NAME ID end      call NAME leave      [secret=NAME]
//	read M load|range [KEY]
//	describe KIND X      list [KIND] [prefix=P] [after=KIND:X] [max=100]
//
// where an op of a frame is its seq and one of these, and one of a call one of these
//
//	lock X      rlock X      acquire S N[/LIMIT]      lead E [value=V]
//	wait G      do O         result O (of whoever does it)
//	send C[/CAPACITY] VALUE  recv C[/CAPACITY]  recvack C[/CAPACITY]      [codec=C]
//	any|first|all lock X | rlock Y | ...
//	await CALL cond C X      signal C      broadcast C      delete KIND X
//	map M load|store|loadorstore|loadanddelete|delete|swap|cas|cad|clear|range [KEY [OLD] [VALUE]] [codec=C]
//	end CALL    release CALL N      resize S N      describe KIND X      noop      leave
//	proclaim CALL VALUE      transfer CALL NAME
//	ack CALL    close C[/CAPACITY]
//	add G N     complete CALL VALUE [panic]
//
// the waits with the options try, prio=N, delay=1s, limit=1s, note=W, trace=T, and for their
// lineage site=S and holds=NAME/SEQ@S,NAME/SEQ,... with S where that was; CALL is the
// seq or the id of another. NAME*N stands for N sessions, NAME1 to NAMEN, and ID*N for N
// calls. Other lines are no entries:
//
//	> new       begins anew: clock 0, floor of tokens 0
//	> changes   those of the last entry
//	> counts    how many sessions live, hold and wait
//	> due       when the next thing falls due
//	> hash      the state hash
func TestTraces(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(data))
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(data), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// replay runs the entries of a trace and returns it with the answers they had.
func replay(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	tr := newTrace(t)
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		input, ok := strings.CutPrefix(line, "> ")
		switch {
		case ok:
			b.WriteString(line + "\n" + tr.run(input))
		case line == "" || strings.HasPrefix(line, "#"):
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

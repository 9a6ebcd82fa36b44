package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("FENCEDSQL_TEST") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// The story is told as the doc says, with its end and with the other.
func TestStory(t *testing.T) {
	needSQLite(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"fenced": {nil, `^building and starting coordd \.\.\.
A holds orders/42, with token \d+
A is stopped .*
B holds orders/42, with token (\d+)
B has written
A goes on .*
A is refused: orders/42: stale fencing token \d+: (\d+) was seen(?s:.*)
the order is paid by B; payments in the ledger: 1
$`},
		"unfenced": {[]string{"-unfenced"}, `^building and starting coordd \.\.\.
A holds orders/42, with token \d+
A is stopped .*
B holds orders/42, with token \d+
B has written
A goes on .*
A has written
A learns of it only now: .*
the order is paid by A; payments in the ledger: 2
$`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // coordd may have to be compiled
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], c.args...)
			cmd.Env = append(os.Environ(), "FENCEDSQL_TEST=1")
			cmd.WaitDelay = time.Minute
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, &stderr)
			}
			got := regexp.MustCompile(c.want).FindSubmatch(out)
			if got == nil {
				t.Fatalf("it says:\n%s\n%s", out, &stderr)
			}
			if len(got) == 3 && string(got[1]) != string(got[2]) {
				t.Errorf("%s was seen, and B has %s", got[2], got[1])
			}
		})
	}
}

// needSQLite skips the test where there was no C compiler, but not where CI is set.
func needSQLite(t *testing.T) {
	t.Helper()
	db, err := open(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(t.Context()); err != nil {
		if strings.Contains(err.Error(), "requires cgo") && os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
}

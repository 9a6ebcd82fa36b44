package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/client"
)

var (
	hostA = client.Holder{
		Session: "000000000000002a", Name: "billing", For: 2 * time.Minute,
		Metadata: map[string]string{"host": "host-a", "pid": "812"},
	}
	nobody = client.Holder{Session: "000000000000002b", For: 30 * time.Millisecond}
)

func testAttempt(o order) *attempt {
	o.verb = "lock"
	if o.want.name == "" {
		o.want = claim{kind: kindLock, name: "deploy"}
	}
	if o.code == 0 {
		o.code = exitNotAcquired
	}
	return &attempt{app: &app{}, order: &o, targets: []string{"127.0.0.1:7600"}}
}

// What people read when a lock is not to be had: exactly these words and codes.
func TestRefusedWords(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     order
		err   error
		facts string
		want  string
		code  int
	}{
		{
			name: "in time", o: order{wait: time.Second}, err: fmt.Errorf("x: %w", errNotInTime),
			facts: claim{}.held([]client.Holder{hostA}, 3),
			want:  "lock deploy: not acquired in 1s: held 2m by host-a pid 812 (billing), 3 ahead", code: 75,
		},
		{
			name: "in time, no facts", o: order{wait: 90 * time.Second}, err: fmt.Errorf("x: %w", errNotInTime),
			want: "lock deploy: not acquired in 1m30s: the cluster did not say who holds it", code: 75,
		},
		{
			name: "not elected", o: order{wait: time.Minute, want: claim{kind: kindElection, name: "cron"}},
			err: fmt.Errorf("x: %w", errNotInTime), facts: claim{kind: kindElection}.held([]client.Holder{hostA}, 1),
			want: "lock cron: not elected in 1m: led 2m by host-a pid 812 (billing), 1 ahead", code: 75,
		},
		{
			name: "not elected, no facts", o: order{wait: time.Minute, want: claim{kind: kindElection, name: "cron"}},
			err:  fmt.Errorf("x: %w", errNotInTime),
			want: "lock cron: not elected in 1m: the cluster did not say who leads it", code: 75,
		},
		{
			name: "busy", err: &client.BusyError{Holders: []client.Holder{hostA}},
			want: "lock deploy: not acquired: held 2m by host-a pid 812 (billing)", code: 75,
		},
		{
			name: "busy, wrapped, own code", o: order{code: 9},
			err:  fmt.Errorf("try: %w", &client.BusyError{Holders: []client.Holder{nobody, hostA}, Waiting: 1}),
			want: "lock deploy: not acquired: held 30ms by session 000000000000002b and 1 more, 1 ahead", code: 9,
		},
		{
			name: "invalid", o: order{want: claim{kind: kindLock, name: "a\x1b[2Jb"}}, err: fmt.Errorf("%w: control character", client.ErrInvalid),
			want: `lock "a\x1b[2Jb": invalid argument: control character`, code: 125,
		},
		{
			name: "mismatch", err: fmt.Errorf("%w: it was made with limit 4", client.ErrMismatch),
			want: "lock deploy: object made otherwise: it was made with limit 4; give the limit that the others give", code: 125,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := testAttempt(c.o).refused(c.err, c.facts)
			if d := cmp.Diff(c.want, f.Error()); d != "" {
				t.Error(d)
			}
			if f.code != c.code {
				t.Errorf("exit code %d, want %d", f.code, c.code)
			}
		})
	}
}

func TestHeld(t *testing.T) {
	evil := hostA
	evil.Name = "\x1b[2Jgone"
	for want, got := range map[string]string{
		"led by nobody now, 2 ahead":                     claim{kind: kindElection}.held(nil, 2),
		"held by nobody now":                             claim{}.held(nil, 0),
		"held by nobody now, 2 ahead":                    claim{}.held(nil, 2),
		"held 2m by host-a pid 812 (billing)":            claim{}.held([]client.Holder{hostA}, 0),
		"held 2m by host-a pid 812 (\uFFFD[2Jgone)":      claim{}.held([]client.Holder{evil}, 0),
		"held 30ms by session 000000000000002b, 1 ahead": claim{}.held([]client.Holder{nobody}, 1),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What somebody typed is shown so that it cannot act on the terminal.
func TestShow(t *testing.T) {
	for in, want := range map[string]string{
		"deploy":                 "deploy",
		"orders/42":              "orders/42",
		"größe":                  "größe",
		"":                       `""`,
		"a b":                    `"a b"`,
		"a\nb":                   `"a\nb"`,
		"\x1b[31m":               `"\x1b[31m"`,
		"\xff":                   `"\xff"`,
		strings.Repeat("x", 257): strings.Repeat("x", 64) + "...",
	} {
		if got := show(in); got != want {
			t.Errorf("show(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestChildEnv(t *testing.T) {
	outer := []string{
		"PATH=/bin", "COORD_FENCING_TOKEN=1", "COORD_LOCK_NAME=outer", "COORD_LOCK_KIND=lock",
		"COORD_SESSION_ID=000000000000000a", "COORD_LINEAGE=lock:x:outer", "COORD_ENDPOINTS=h:1",
	}
	ancestors := lineage{{kind: kindLock, name: "outer"}}

	exclusive := childEnv(outer, claim{kind: kindLock, name: "a b"}, 7, "000000000000000b", ancestors)
	if d := cmp.Diff([]string{
		"PATH=/bin", "COORD_ENDPOINTS=h:1", "COORD_FENCING_TOKEN=7", "COORD_LOCK_NAME=a b", "COORD_LOCK_KIND=lock",
		"COORD_SESSION_ID=000000000000000b", "COORD_LINEAGE=lock:x:outer lock:x:a%20b",
	}, exclusive); d != "" {
		t.Error(d)
	}

	// A shared hold has no token, and must not pass on an outer one as its own.
	shared := childEnv(outer, claim{kind: kindSemaphore, name: "pool", count: 2, limit: 4}, 0, "000000000000000b", ancestors)
	if d := cmp.Diff([]string{
		"PATH=/bin", "COORD_ENDPOINTS=h:1", "COORD_LOCK_NAME=pool", "COORD_LOCK_KIND=semaphore",
		"COORD_SESSION_ID=000000000000000b", "COORD_LINEAGE=lock:x:outer semaphore:2:pool",
	}, shared); d != "" {
		t.Error(d)
	}
}

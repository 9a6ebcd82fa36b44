package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestMain lets this program be the holders' process, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == commandHold {
		if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Everything that -scale does, little of each.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes")
	}
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "out.json")
	var out strings.Builder
	err := run(t.Context(), []string{
		"-scale", "-dir", dir, "-json", file, "-locks", "2000", "-sessions", "40", "-connections", "4",
		"-snapshots", "2", "-snapshot-interval", "200ms", "-acquirers", "4", "-watch", "100ms", "-ttl", "2s",
	}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	l, s := r.Scale.Locks, r.Scale.Sessions
	if len(l.Rounds) != 2 || l.All.During.N == 0 || l.All.During.P999 == 0 || l.Snapshot.Index == 0 || l.Snapshot.Bytes < 2000*20 {
		t.Errorf("rounds %+v, snapshot %+v", l.All, l.Snapshot)
	}
	if l.Sampled != sampled || l.Restart == 0 || l.Memory.Heap <= 0 || l.Memory.RSS <= 0 {
		t.Errorf("after the restart: %+v", l)
	}
	// When the first ends depends on the machine: one that stalls for a TTL ends them early.
	if s.Freed < s.First || s.Freed == 0 || s.Memory.Heap <= 0 {
		t.Errorf("sessions: %+v", s)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it leaves %v, %v", entries, err)
	}
}

func TestDivide(t *testing.T) {
	const s = time.Second
	windows := []window{{10 * s, 11 * s}, {20 * s, 21 * s}}
	at := func(from, to time.Duration) timed { return timed{from, to - from} }
	made := []timed{
		at(1*s, 2*s),                 // quiet, before the first
		at(8*s, 10*s+1),              // reaches into the first
		at(11*s+windowAfter-1, 12*s), // began in it
		at(11*s+windowAfter+1, 12*s), // after it
		at(13*s, 13*s+1),             // quiet, before the second
		at(12*s, 20*s-windowBefore),  // reaches into the second
		at(9*s, 22*s),                // meets both: the first
		at(21*s+windowAfter+1, 30*s), // after the second
		at(30*s, 31*s),               // before none
	}
	var want []share
	took := func(is ...int) (d []time.Duration) {
		for _, i := range is {
			d = append(d, made[i].took)
		}
		return d
	}
	want = append(want, share{quiet: took(0), during: took(1, 2, 6), after: took(3)})
	want = append(want, share{quiet: took(4), during: took(5), after: took(7)})
	got := divide(made, windows)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(share{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if all := pool(got); len(all.quiet) != 2 || len(all.during) != 4 || len(all.after) != 2 {
		t.Errorf("pooled: %+v", all)
	}
}

func TestStored(t *testing.T) {
	w := watcher{t.TempDir()}
	if _, err := w.newest(); err == nil {
		t.Error("there is a newest of none")
	}
	for _, name := range []string{"2-999-1", "2-1000-2", "3-1001-3.tmp"} {
		if err := os.Mkdir(filepath.Join(w.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "2-1000-2", "state.bin"), make([]byte, 7), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, writing, err := w.list(); err != nil || !writing || got.Index != 1000 {
		t.Errorf("%+v, writing %v, %v", got, writing, err)
	}
	if got, err := w.newest(); err != nil || got.Bytes != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A snapshot that is being written already is not the next one; one that comes and goes
// between two looks is.
func TestWatcher(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		there  string
		events []string // one every 10 ms: made, or renamed if it is there as .tmp
		want   window
	}{
		"the next":        {"", []string{"1-1-1.tmp", "1-1-1"}, window{10 * ms, 20 * ms}},
		"not the present": {"1-1-1.tmp", []string{"1-1-1", "1-2-2.tmp", "1-2-2"}, window{20 * ms, 30 * ms}},
		"a short one":     {"1-1-1", []string{"1-2-2"}, window{8 * ms, 10 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			w := watcher{t.TempDir()}
			happen := func(name string) {
				err := os.Rename(filepath.Join(w.dir, name+".tmp"), filepath.Join(w.dir, name))
				if err != nil {
					err = os.Mkdir(filepath.Join(w.dir, name), 0o700)
				}
				if err != nil {
					t.Error(err)
				}
			}
			if c.there != "" {
				happen(c.there)
			}
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var happening sync.WaitGroup
				defer happening.Wait()
				happening.Go(func() {
					time.Sleep(ms / 2) // between two looks
					for _, e := range c.events {
						time.Sleep(10*ms - ms)
						happen(e)
						time.Sleep(ms)
					}
				})
				got, err := w.next(t.Context(), began)
				if err != nil || got != c.want {
					t.Errorf("it saw %v, %v; want %v", got, err, c.want)
				}
			})
		})
	}
}

package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func abc() []string { return []string{"a:1", "b:1", "c:1"} }

func TestFormInAnyOrder(t *testing.T) {
	for _, order := range [][]string{
		{"a:1", "b:1", "c:1"}, {"a:1", "c:1", "b:1"}, {"b:1", "a:1", "c:1"},
		{"b:1", "c:1", "a:1"}, {"c:1", "a:1", "b:1"}, {"c:1", "b:1", "a:1"},
	} {
		for _, apart := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprint(order, apart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					var runs []*run
					for _, at := range order {
						time.Sleep(apart)
						runs = append(runs, w.start(at, abc(), 3))
					}
					w.formed(runs...)
					for _, r := range runs {
						r.stop()
					}
				})
			})
		}
	}
}

// TestFormDecidesOfAdopters is invariant 5: at the moment of the decision every node in
// it has the cluster id on disk.
func TestFormDecidesOfAdopters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b, c := w.start("b:1", abc(), 3), w.start("c:1", abc(), 3)
		time.Sleep(time.Minute) // they ask seldom by now
		a := w.start("a:1", abc(), 3)
		<-a.done
		for _, at := range abc() {
			r, err := readRecord(w.dirs[at])
			if err != nil || r.ClusterID != a.id.ClusterID() {
				t.Errorf("%s has cluster id %q when %s is decided, %v", at, r.ClusterID, a.id.ClusterID(), err)
			}
		}
		w.formed(a, b, c)
		for _, r := range []*run{a, b, c} {
			r.stop()
		}
	})
}

func TestFormAlone(t *testing.T) {
	for _, join := range [][]string{nil, {"a:1"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.start("a:1", join, 1)
			w.formed(r)
			r.stop()
			again := w.start("a:1", nil, 0)
			w.formed(again)
			if diff := cmp.Diff(r.servers, again.servers); diff != "" {
				t.Errorf("the second start decided anew:\n%s", diff)
			}
			again.stop()
		})
	}
}

// TestFormGoesOnFromEachPhase stops the node that forms after each of its steps, which
// is what a crash is: a step is one write.
func TestFormGoesOnFromEachPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a:1", abc(), 3)
		b := w.start("b:1", abc(), 3)
		time.Sleep(time.Minute)
		a.stop()
		id := openIdentity(t, w.dirs["a:1"])
		if err := id.mint(); err != nil { // crashed right after it
			t.Fatal(err)
		}
		closeIdentity(t, id)

		a = w.start("a:1", abc(), 3)
		<-b.done // b adopts though c was never seen
		if b.err != nil || b.id.Phase() != PhaseAdopted {
			t.Errorf("b is %s, %v", b.id.Phase(), b.err)
		}
		b.stop()
		b = w.start("b:1", abc(), 3)
		time.Sleep(time.Minute)
		c := w.start("c:1", abc(), 3)
		w.formed(a, b, c)

		a.stop() // before raft was bootstrapped
		again := w.start("a:1", abc(), 3)
		w.formed(again, b, c)
		again.stop()
		b.stop()
		c.stop()
	})
}

// TestFormWipedMember: a member that lost its directory finds the cluster, begins none,
// and is told what to do.
func TestFormWipedMember(t *testing.T) {
	for _, victim := range abc() {
		t.Run(victim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				runs := map[string]*run{}
				for _, at := range abc() {
					runs[at] = w.start(at, abc(), 3)
				}
				w.formed(runs["a:1"], runs["b:1"], runs["c:1"])
				cluster := runs[victim].id.ClusterID()
				runs[victim].stop()
				w.wipe(victim)
				r := w.start(victim, abc(), 3)
				<-r.done
				if r.err != nil || len(r.servers) > 0 || r.id.ClusterID() != cluster {
					t.Errorf("wiped node: %v, bootstraps %v, cluster %s want %s", r.err, r.servers, r.id.ClusterID(), cluster)
				}
				runs[victim] = r
				for _, r := range runs {
					r.stop()
				}
			})
		})
	}
}

// TestFormIsAdoptedWhileItAsks: a member greets a node that was wiped, while that asks the
// others. It is of their cluster then, and mints none; CI saw it end with an error.
func TestFormIsAdoptedWhileItAsks(t *testing.T) {
	id := openIdentity(t, t.TempDir())
	defer closeIdentity(t, id)
	f := &formation{FormConfig: FormConfig{
		Identity: id, Address: "a:1", Join: abc(), Expect: 3,
		Logger: slog.New(slog.DiscardHandler), Progress: func(string) {},
	}}
	var echoes []echo
	for _, at := range abc() {
		echoes = append(echoes, echo{address: at, hello: Hello{NodeID: "node-" + at, PeerAddress: at, Join: abc()}})
	}
	if err := id.Adopt("c1"); err != nil {
		t.Fatal(err)
	}
	if again, err := f.step(echoes); again || err != nil || !f.done() || id.ClusterID() != "c1" {
		t.Errorf("step: again %v, %v; the node is %s of %s", again, err, id.Phase(), id.ClusterID())
	}
}

func TestFormTellsOfTheClusterThatExists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a:1", nil, 0)
		w.formed(a)
		// a knows nothing of d, so that d learns by asking.
		d := w.start("d:1", []string{"a:1"}, 0)
		<-d.done
		if d.err != nil || d.id.ClusterID() != a.id.ClusterID() || len(d.servers) > 0 {
			t.Errorf("d: %v, cluster %s, servers %v", d.err, d.id.ClusterID(), d.servers)
		}
		a.stop()
		d.stop()
		if got := w.logs.String(); !strings.Contains(got, "waits to be added") || !strings.Contains(got, "coordctl member add d:1") {
			t.Errorf("log does not say what to do:\n%s", got)
		}
	})
}

// TestFormFaults: what keeps a cluster from being formed is named, with what to do, and
// the cluster forms once it is mended.
func TestFormFaults(t *testing.T) {
	tests := map[string]struct {
		start func(w *world) []*run // beside a
		want  string
	}{
		"absent": {func(w *world) []*run {
			return []*run{w.start("b:1", abc(), 3)}
		}, "c:1: "},
		"another list": {func(w *world) []*run {
			return []*run{w.start("b:1", abc(), 3), w.start("c:1", []string{"a:1", "c:1", "d:1"}, 3)}
		}, "c:1: has another --join (a:1,c:1,d:1)"},
		"no list": {func(w *world) []*run {
			return []*run{w.start("b:1", abc(), 3), w.start("c:1", []string{"b:1"}, 0)}
		}, "c:1: has another --join (b:1)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				a := w.start("a:1", abc(), 3)
				others := tt.start(w)
				time.Sleep(time.Minute)
				if got := <-a.progress; !strings.Contains(got, tt.want) {
					t.Errorf("progress is %q, want %q", got, tt.want)
				}
				for _, r := range others {
					r.stop()
				}
				b, c := w.start("b:1", abc(), 3), w.start("c:1", abc(), 3)
				w.formed(a, b, c)
				for _, r := range []*run{a, b, c} {
					r.stop()
				}
			})
		})
	}
}

// TestFormOtherCluster: a list with nodes of two clusters forms nothing and says so.
func TestFormOtherCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.start("b:1", nil, 0)
		w.formed(b)
		w.dirs["a:1"] = filepath.Join(t.TempDir(), "data")
		id := openIdentity(t, w.dirs["a:1"])
		if err := id.mint(); err != nil {
			t.Fatal(err)
		}
		closeIdentity(t, id)
		a := w.start("a:1", []string{"a:1", "b:1"}, 2)
		time.Sleep(time.Minute)
		if got := <-a.progress; !strings.Contains(got, "wrong") || !strings.Contains(got, b.id.ClusterID()) {
			t.Errorf("progress is %q", got)
		}
		a.stop()
		if !errors.Is(a.err, context.Canceled) {
			t.Errorf("form ended with %v", a.err)
		}
		b.stop()
	})
}

// TestFormTwoMinters: two nodes, first in lists of their own, both minted. A node that
// both need adopts one; the other is never decided, not even when all are up with the
// same list at last.
func TestFormTwoMinters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bcd := []string{"b:1", "c:1", "d:1"}
		for _, at := range []string{"a:1", "b:1"} {
			w.dirs[at] = filepath.Join(t.TempDir(), "data")
			id := openIdentity(t, w.dirs[at])
			if err := id.mint(); err != nil {
				t.Fatal(err)
			}
			closeIdentity(t, id)
		}
		a := w.start("a:1", []string{"a:1", "c:1"}, 2)
		c := w.start("c:1", []string{"a:1", "c:1"}, 2)
		w.formed(a, c)
		c.stop()
		b, c, d := w.start("b:1", bcd, 3), w.start("c:1", bcd, 3), w.start("d:1", bcd, 3)
		time.Sleep(time.Hour)
		if got := <-b.progress; !strings.Contains(got, "c:1: ") || !strings.Contains(got, "wipe") {
			t.Errorf("progress is %q", got)
		}
		if c.id.ClusterID() != a.id.ClusterID() {
			t.Errorf("c went over to cluster %s", c.id.ClusterID())
		}
		for _, r := range []*run{a, b, c, d} {
			r.stop()
		}
	})
}

// A node that has minted goes on with what it began, or says that it will not: told to
// join only, it would decide a configuration of the others, without itself.
func TestFormRefusesToJoinOnceItHasMinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dirs["a:1"] = filepath.Join(t.TempDir(), "data")
		id := openIdentity(t, w.dirs["a:1"])
		if err := id.mint(); err != nil {
			t.Fatal(err)
		}
		closeIdentity(t, id)
		r := w.start("a:1", []string{"b:1"}, 0)
		select {
		case <-r.done:
		case <-time.After(time.Minute):
			r.stop()
			t.Fatal("it goes on")
		}
		if r.err == nil || !strings.Contains(r.err.Error(), "--bootstrap-expect again") {
			t.Errorf("phase %v, %v, %v", r.id.Phase(), r.servers, r.err)
		}
		r.stop()
	})
}

func TestFormRefusesCommandLines(t *testing.T) {
	tests := map[string]struct {
		join   []string
		expect int
		want   string
	}{
		"expect alone": {nil, 3, "without --join"},
		"too few":      {[]string{"a:1", "b:1"}, 3, "--bootstrap-expect is 3"},
		"too many":     {abc(), 1, "--bootstrap-expect is 1"},
		"not in it":    {[]string{"b:1", "c:1", "d:1"}, 3, "own peer address a:1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := w.start("a:1", tt.join, tt.expect)
				<-r.done
				if r.err == nil || !strings.Contains(r.err.Error(), tt.want) {
					t.Errorf("got %v, want %q", r.err, tt.want)
				}
				r.stop()
				// With data the command line is not looked at.
				id := openIdentity(t, w.dirs["a:1"])
				if err := id.Adopt("c1"); err != nil {
					t.Fatal(err)
				}
				closeIdentity(t, id)
				r = w.start("a:1", tt.join, tt.expect)
				<-r.done
				if r.err != nil {
					t.Errorf("with data: %v", r.err)
				}
				r.stop()
			})
		})
	}
}

// TestFormChaos starts, stops and wipes four nodes at random moments, each start with
// one of three lists, and holds every decision against all others (world.note). Without
// wipes and with one list, the cluster must then form.
func TestFormChaos(t *testing.T) {
	lists := [][]string{abc(), {"b:1", "c:1", "d:1"}, {"a:1", "b:1", "c:1", "d:1"}}
	decided, wiped := 0, 0
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				w := newWorld(t)
				calm := seed%3 == 0 // no wipes, one list
				var mu sync.Mutex
				w.net.lag = func() time.Duration {
					mu.Lock()
					defer mu.Unlock()
					return time.Duration(rnd.Int64N(int64(time.Second)))
				}
				roll := func(n int) int {
					mu.Lock()
					defer mu.Unlock()
					return rnd.IntN(n)
				}
				up := map[string]*run{}
				list := lists[2] // what the operator means at present
				for range 60 {
					if !calm && roll(12) == 0 {
						list = lists[roll(3)]
					}
					at := lists[2][roll(4)]
					switch r := up[at]; {
					case r != nil && roll(2) == 0: // rather up than down
					case r != nil:
						r.stop()
						delete(up, at)
						if !calm && roll(3) == 0 {
							w.wipe(at)
							wiped++
						}
					case calm:
						up[at] = w.start(at, lists[2], 4)
					default:
						own := list
						if roll(8) == 0 {
							own = lists[roll(3)]
						}
						up[at] = w.start(at, own, len(own))
					}
					time.Sleep(time.Duration(roll(int(2 * time.Second))))
				}
				if calm {
					var runs []*run
					for _, at := range lists[2] {
						if up[at] == nil {
							up[at] = w.start(at, lists[2], 4)
						}
						runs = append(runs, up[at])
					}
					w.formed(runs...)
				}
				for _, r := range up {
					r.stop()
				}
				decided += len(w.made)
			})
		})
	}
	if decided < 20 || wiped < 60 {
		t.Errorf("only %d clusters decided and %d nodes wiped: the test shows nothing", decided, wiped)
	}
}

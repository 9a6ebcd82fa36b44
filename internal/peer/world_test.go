package peer

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/raftstore"
)

// A world is a network, the directories of its nodes, and every configuration that was
// ever handed out to be bootstrapped.
type world struct {
	t    *testing.T
	net  *network
	dirs map[string]string                        // address -> directory
	made map[string]map[string][]raftstore.Member // cluster id -> minter's node id -> servers
	logs *syncWriter
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, net: newNetwork(), dirs: map[string]string{}, made: map[string]map[string][]raftstore.Member{}, logs: &syncWriter{}}
}

// A run is one process of a node: from its start to its stop.
type run struct {
	w        *world
	id       *Identity
	mux      *Mux
	cancel   context.CancelFunc
	done     chan struct{}
	servers  []raftstore.Member // what Form returned, after done
	err      error
	progress chan string // the latest
}

// start runs a node as the daemon does. Its directory is made at its first start.
func (w *world) start(at string, join []string, expect int) *run {
	w.t.Helper()
	if w.dirs[at] == "" {
		w.dirs[at] = filepath.Join(w.t.TempDir(), "data")
	}
	join, err := ParseJoin(join)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &run{w: w, id: openIdentity(w.t, w.dirs[at]), done: make(chan struct{}), progress: make(chan string, 1)}
	logger := slog.New(slog.NewTextHandler(w.logs, nil)).With("node", at)
	r.mux = NewMux(MuxConfig{
		Listener: w.net.listen(w.t, at), Dial: w.net.dial,
		Identity: r.id, Address: at, Join: join,
		Self:   func() Hello { return Hello{Name: "node at " + at, ClientAddress: "client-" + at} },
		Logger: logger,
	})
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		r.servers, r.err = Form(ctx, FormConfig{
			Identity: r.id, Mux: r.mux, Address: at, Join: join, Expect: expect, Logger: logger,
			Progress: r.note,
		})
	}()
	return r
}

// note keeps the latest line of progress.
func (r *run) note(reason string) {
	select {
	case <-r.progress:
	default:
	}
	r.progress <- reason
}

// stop ends the process and notes what it would have bootstrapped.
func (r *run) stop() {
	r.w.t.Helper()
	r.cancel()
	<-r.done
	if err := r.mux.Close(); err != nil {
		r.w.t.Error(err)
	}
	r.w.note(r)
	closeIdentity(r.w.t, r.id)
}

// note holds a configuration against all before it.
func (w *world) note(r *run) {
	if len(r.servers) == 0 {
		return
	}
	cluster := r.id.ClusterID()
	by := w.made[cluster]
	if by == nil {
		by = map[string][]raftstore.Member{}
		w.made[cluster] = by
	}
	if before := by[r.id.NodeID()]; before != nil && !cmp.Equal(before, r.servers) {
		w.t.Errorf("node decided twice:\n%s", cmp.Diff(before, r.servers))
	}
	by[r.id.NodeID()] = r.servers
	if len(by) > 1 {
		w.t.Errorf("cluster %s was decided by several nodes: %v", cluster, by)
	}
	for other, byOther := range w.made {
		for _, servers := range byOther {
			if common := commonNodes(servers, r.servers); other != cluster && len(common) > 0 {
				w.t.Errorf("clusters %s and %s share nodes %v", cluster, other, common)
			}
		}
	}
}

func commonNodes(a, b []raftstore.Member) []string {
	var both []string
	for _, m := range a {
		if slices.ContainsFunc(b, func(o raftstore.Member) bool { return o.ID == m.ID }) {
			both = append(both, m.ID)
		}
	}
	return both
}

// formed waits for all runs, and checks that exactly one of them bootstraps, with all.
func (w *world) formed(runs ...*run) {
	w.t.Helper()
	bootstraps := 0
	for _, r := range runs {
		<-r.done
		if r.err != nil {
			w.t.Fatalf("form: %v", r.err)
		}
		if r.id.ClusterID() != runs[0].id.ClusterID() {
			w.t.Errorf("cluster ids differ: %s, %s", r.id.ClusterID(), runs[0].id.ClusterID())
		}
		if len(r.servers) == 0 {
			continue
		}
		bootstraps++
		var want []raftstore.Member
		for _, o := range runs {
			want = append(want, raftstore.Member{ID: o.id.NodeID(), Address: o.mux.cfg.Address, Voter: true})
		}
		slices.SortFunc(want, func(a, b raftstore.Member) int { return strings.Compare(a.Address, b.Address) })
		if diff := cmp.Diff(want, r.servers); diff != "" {
			w.t.Errorf("servers:\n%s", diff)
		}
	}
	if bootstraps != 1 {
		w.t.Errorf("%d nodes bootstrap, want 1", bootstraps)
	}
}

// wipe is rm -r of a stopped node's directory.
func (w *world) wipe(at string) {
	w.t.Helper()
	if err := os.RemoveAll(w.dirs[at]); err != nil {
		w.t.Fatal(err)
	}
}

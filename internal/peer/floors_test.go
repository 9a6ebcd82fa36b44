package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/raftstore"
)

func membersOf(ids ...string) (members []raftstore.Member) {
	for _, id := range ids {
		members = append(members, raftstore.Member{ID: id, Address: id + ":1", Voter: true})
	}
	return members
}

// TestFloors: they go up and not down, survive a restart and that the node's own data are given
// up, and are forgotten with the member.
func TestFloors(t *testing.T) {
	dir, self := memberDir(t, membersOf("n2", "n3")...)
	for _, step := range []struct {
		heard   map[string]uint64
		members []raftstore.Member
		want    map[string]uint64
	}{
		{map[string]uint64{"n2": 7, "n3": 9, self: 8, "stranger": 100}, membersOf(self, "n2", "n3"), map[string]uint64{"n2": 7, "n3": 9}},
		{map[string]uint64{"n2": 6, "n3": 10}, membersOf(self, "n2", "n3"), map[string]uint64{"n2": 7, "n3": 10}},
		{map[string]uint64{"n2": 0}, membersOf(self, "n2", "n3"), map[string]uint64{"n2": 7, "n3": 10}},
		{nil, membersOf(self, "n2", "n3", "n4"), map[string]uint64{"n2": 7, "n3": 10}},
		{map[string]uint64{"n2": 20}, nil, map[string]uint64{"n2": 7, "n3": 10}}, // raft has not started
		{map[string]uint64{"n2": 8}, membersOf(self, "n2"), map[string]uint64{"n2": 8}},
		{map[string]uint64{"n3": 1}, membersOf(self, "n2", "n3"), map[string]uint64{"n2": 8, "n3": 1}},
	} {
		id := openIdentity(t, dir)
		if err := id.Raise(step.heard, step.members); err != nil {
			t.Fatal(err)
		}
		closeIdentity(t, id)
		id = openIdentity(t, dir)
		for node, want := range step.want {
			if got := id.Floor(node); got != want {
				t.Errorf("after %v: %s at %d, want %d", step.heard, node, got, want)
			}
		}
		if diff := cmp.Diff(step.want, id.record.Floors); diff != "" {
			t.Errorf("after %v:\n%s", step.heard, diff)
		}
		closeIdentity(t, id)
	}

	id := openIdentity(t, dir)
	if _, _, err := id.GiveUp(); err != nil {
		t.Fatal(err)
	}
	if err := id.Raise(map[string]uint64{"n2": 50}, membersOf(self, "n2")); err != nil {
		t.Error(err)
	}
	closeIdentity(t, id)
	id = openIdentity(t, dir)
	defer closeIdentity(t, id)
	if got := id.Floor("n2"); got != 8 {
		t.Errorf("after the data were given up: %d, want 8", got)
	}
}

// TestFloorsAreWrittenWhenTheyRise and else not: it is a sync of the disk each time.
func TestFloorsAreWrittenWhenTheyRise(t *testing.T) {
	dir, self := memberDir(t, membersOf("n2")...)
	id := openIdentity(t, dir)
	defer closeIdentity(t, id)
	path := filepath.Join(dir, recordFile)
	raise := func(to uint64) (written bool) {
		t.Helper()
		before, err := os.Stat(path)
		if err := errors.Join(err, id.Raise(map[string]uint64{"n2": to}, membersOf(self, "n2"))); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return !os.SameFile(before, after)
	}
	for _, step := range []struct {
		to    uint64
		write bool
	}{{5, true}, {5, false}, {4, false}, {6, true}} {
		if got := raise(step.to); got != step.write {
			t.Errorf("raised to %d: written is %v", step.to, got)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := id.Raise(map[string]uint64{"n2": 7}, membersOf(self, "n2")); err == nil || id.Floor("n2") != 6 {
		t.Errorf("not written: %v, and told as %d", err, id.Floor("n2"))
	}
}

// A pair is two nodes that are members of one cluster: b has seen a with an entry.
type pair struct {
	a, b    *node
	reached atomic.Uint64 // by a
	read    atomic.Bool   // whether a knows that
	applied atomic.Uint64 // by b, as it says
}

const seen = 100 // the entry with which b has seen a

func startPair(t *testing.T, start func(at string, change func(*MuxConfig)) *node) *pair {
	p := new(pair)
	p.read.Store(true)
	both := func() []raftstore.Member {
		if p.b == nil {
			return nil
		}
		return []raftstore.Member{{ID: p.a.id(), Address: "a:1", Voter: true}, {ID: p.b.id(), Address: "b:1", Voter: true}}
	}
	p.a = start("a:1", func(c *MuxConfig) {
		c.Members = both
		c.Reached = func() (uint64, bool) { return p.reached.Load(), p.read.Load() }
	})
	p.b = start("b:1", func(c *MuxConfig) {
		c.Members = both
		c.Self = func() Hello { return Hello{Applied: p.applied.Load()} }
	})
	if err := p.b.cfg.Identity.Raise(map[string]uint64{p.a.id(): seen}, both()); err != nil {
		t.Fatal(err)
	}
	return p
}

func plainPair(t *testing.T) *pair {
	n := newNetwork()
	return startPair(t, func(at string, change func(*MuxConfig)) *node { return startNode(t, n, at, "c1", change) })
}

// failed says whether a has found out.
func (p *pair) failed(t *testing.T) bool {
	t.Helper()
	err := p.a.Err()
	select {
	case <-p.a.Failed():
	default:
		if err != nil {
			t.Errorf("not failed, with %v", err)
		}
		return false
	}
	if !errors.Is(err, ErrOldCopy) {
		t.Errorf("failed with %v", err)
	}
	return true
}

// TestOldCopy: a node hangs up before any byte of raft's, whoever dials, if the other one has
// seen it with more than it has, and not if it has all of it.
func TestOldCopy(t *testing.T) {
	for name, tt := range map[string]struct {
		purpose purpose
		reached uint64
		old     bool
	}{
		"raft, old":   {purposeRaft, seen - 1, true},
		"raft, empty": {purposeRaft, 0, true},
		"raft, as it": {purposeRaft, seen, false},
		"raft, more":  {purposeRaft, math.MaxUint64, false},
		"calls, old":  {purposeCalls, seen - 1, true},
	} {
		t.Run(name+", dials", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := plainPair(t)
				p.reached.Store(tt.reached)
				if err := reach(t, p.a, tt.purpose, p.b); errors.Is(err, ErrOldCopy) != tt.old || p.failed(t) != tt.old {
					t.Errorf("dialled: %v; %v", err, p.a.Err())
				}
			})
		})
		t.Run(name+", is dialled", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := plainPair(t)
				p.reached.Store(tt.reached)
				err := reach(t, p.b, tt.purpose, p.a)
				var refused *RefusedError
				if (errors.As(err, &refused) && refused.code == refusedOldCopy) != tt.old || (err != nil) != tt.old || p.failed(t) != tt.old {
					t.Errorf("dialled: %v; %v", err, p.a.Err())
				}
			})
		})
	}
}

// TestOldCopySaysWhatToDo, and from then on speaks to nobody, also to who has not seen it.
func TestOldCopySaysWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plainPair(t)
		p.reached.Store(40)
		_ = reach(t, p.b, purposeRaft, p.a)
		err := p.a.Err()
		for _, want := range []string{p.a.cfg.Identity.Dir(), "old copy", "entry 40", p.b.id() + " (b:1)", "entry 100",
			"coordctl member replace " + p.a.id() + " a:1"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v\ndoes not say %q", err, want)
			}
		}
		if err := p.b.cfg.Identity.Raise(nil, []raftstore.Member{{ID: "nobody"}}); err != nil {
			t.Fatal(err)
		}
		if p.b.cfg.Identity.Floor(p.a.id()) != 0 {
			t.Fatal("b still knows")
		}
		if err := reach(t, p.b, purposeRaft, p.a); err == nil {
			t.Error("it lets b in")
		}
		if err := reach(t, p.a, purposeRaft, p.b); !errors.Is(err, ErrOldCopy) {
			t.Errorf("it dials: %v", err)
		}
	})
}

// TestOldCopyIsJudgedByWhoIsKnown: what somebody who asks who this is says that he has seen, and
// what is said where nobody in particular was dialled, is not believed.
func TestOldCopyIsJudgedByWhoIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plainPair(t)
		if _, err := p.b.Hello(t.Context(), "a:1", p.a.id()); err != nil || p.failed(t) {
			t.Errorf("asked: %v; %v", err, p.a.Err())
		}
		if _, err := p.a.Hello(t.Context(), "b:1", ""); err != nil || p.failed(t) {
			t.Errorf("asks whoever it is: %v; %v", err, p.a.Err())
		}
		if _, err := p.a.Hello(t.Context(), "b:1", p.b.id()); !errors.Is(err, ErrOldCopy) || !p.failed(t) {
			t.Errorf("asks b: %v; %v", err, p.a.Err())
		}
	})
}

// TestOldCopyBeforeItKnows: as long as a node has not read its log raft's connections wait if they
// come with a floor, and only they.
func TestOldCopyBeforeItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plainPair(t)
		p.reached.Store(seen)
		p.read.Store(false)
		var refused *RefusedError
		if err := reach(t, p.b, purposeRaft, p.a); !errors.As(err, &refused) || refused.code != refusedStarting || p.failed(t) {
			t.Errorf("while it starts: %v; %v", err, p.a.Err())
		}
		p.read.Store(true)
		if err := reach(t, p.b, purposeRaft, p.a); err != nil || p.failed(t) {
			t.Errorf("then: %v; %v", err, p.a.Err())
		}
	})
}

// TestOldCopyTLS: a node is told so by members; who has a certificate of the CA and is none is
// refused, and not believed.
func TestOldCopyTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuild(t)
		p := startPair(t, func(at string, change func(*MuxConfig)) *node { return g.start(at, "c1", change) })
		stranger := g.start("c:1", "c1", nil)
		if err := stranger.cfg.Identity.Raise(map[string]uint64{p.a.id(): seen + 1}, p.a.cfg.Members()); err != nil {
			t.Fatal(err)
		}
		p.reached.Store(seen) // it asks b about the stranger, and b has seen it too
		if err := reach(t, stranger, purposeRaft, p.a); !errors.Is(err, ErrNotMember) || p.failed(t) {
			t.Errorf("a stranger: %v; %v", err, p.a.Err())
		}
		p.reached.Store(seen - 1)
		if err := reach(t, p.b, purposeRaft, p.a); err == nil || !p.failed(t) {
			t.Errorf("a member: %v; %v", err, p.a.Err())
		}
	})
}

// TestConsult: a node asks before its raft starts, and is told.
func TestConsult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plainPair(t)
		p.reached.Store(seen)
		if err := p.a.Consult(t.Context()); err != nil {
			t.Errorf("it knows nobody: %v", err)
		}
		members := append(p.a.cfg.Members(), membersOf("gone")...)
		if err := p.a.cfg.Identity.Know(members); err != nil {
			t.Fatal(err)
		}
		if err := p.a.Consult(t.Context()); err != nil {
			t.Errorf("it has everything: %v", err)
		}
		p.reached.Store(seen - 1)
		if err := p.a.Consult(t.Context()); !errors.Is(err, ErrOldCopy) {
			t.Errorf("it is old: %v", err)
		}
	})
}

// TestKeepFloors: a node keeps what the members say, asks again, and ends with its context, or
// over an answer that says that it is old.
func TestKeepFloors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plainPair(t)
		p.reached.Store(seen)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.a.KeepFloors(ctx) }()
		highest := uint64(0)
		for _, applied := range []uint64{5, 9, 7} {
			p.applied.Store(applied)
			highest = max(highest, applied)
			time.Sleep(floorsEvery)
			synctest.Wait()
			if got := p.a.cfg.Identity.Floor(p.b.id()); got != highest {
				t.Errorf("b is at %d, and a has seen it at %d, want %d", applied, got, highest)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.reached.Store(1)
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour) // of the bubble
		defer cancel()
		if err := p.a.KeepFloors(ctx); !errors.Is(err, ErrOldCopy) {
			t.Errorf("old: %v", err)
		}
	})
}

// TestKeepFloorsOnABadDisk: what cannot be written is written once it can, and not told before.
func TestKeepFloorsOnABadDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plainPair(t)
		p.reached.Store(seen)
		p.applied.Store(5)
		dir := p.a.cfg.Identity.Dir()
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.a.KeepFloors(ctx) }()
		time.Sleep(floorsEvery / 2)
		synctest.Wait()
		if got := p.a.cfg.Identity.Floor(p.b.id()); got != 0 || !strings.Contains(p.a.logs.String(), "is not kept") {
			t.Errorf("b at %d, with the log %s", got, p.a.logs.String())
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(floorsEvery)
		synctest.Wait()
		if got := p.a.cfg.Identity.Floor(p.b.id()); got != 5 {
			t.Errorf("b at %d, want 5", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestFloorsOnDisk: the record has them under their name, and none where there are none.
func TestFloorsOnDisk(t *testing.T) {
	dir, self := memberDir(t, membersOf("n2")...)
	path := filepath.Join(dir, recordFile)
	if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte("floors")) {
		t.Errorf("%s, %v", b, err)
	}
	id := openIdentity(t, dir)
	defer closeIdentity(t, id)
	if err := id.Raise(map[string]uint64{"n2": math.MaxUint64}, membersOf(self, "n2")); err != nil {
		t.Fatal(err)
	}
	var r struct {
		Floors map[string]uint64 `json:"floors"`
	}
	b, err := os.ReadFile(path)
	if err := errors.Join(err, json.Unmarshal(b, &r)); err != nil || r.Floors["n2"] != math.MaxUint64 {
		t.Errorf("%s, %v", b, err)
	}
}

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"coordd.dev/test/daemons"
)

// A ledger is what a cluster has acknowledged: each entry was put into a map under a lock,
// whose token rises.
type ledger struct {
	t       *testing.T
	cluster *daemons.Cluster
	tokens  string // file
	entries int
}

// write makes entries, all of which must be acknowledged.
func (l *ledger) write(ctx context.Context, entries int) {
	l.t.Helper()
	step := fmt.Sprintf(`%[1]s --timeout 60s map put ledger %%d acknowledged && echo $COORD_FENCING_TOKEN >> %[2]s`, coordctl(), l.tokens)
	for range entries {
		l.entries++
		if err := shell(ctx, l.cluster, fmt.Sprintf(`exec %s --timeout 60s lock marker-of-the-ledger -- sh -c '%s'`,
			coordctl(), fmt.Sprintf(step, l.entries))); err != nil {
			l.t.Fatal(err)
		}
	}
}

// check fails the test unless the cluster has all of it.
func (l *ledger) check(ctx context.Context) {
	l.t.Helper()
	list := exec.CommandContext(ctx, coordctl(), "--endpoints", l.cluster.Target(), "--timeout", "60s", "map", "list", "ledger")
	out, err := list.CombinedOutput()
	if n := strings.Count(string(out), "acknowledged"); err != nil || n != l.entries {
		l.t.Errorf("the ledger has %d of %d entries: %v\n%s", n, l.entries, err, out)
	}
	if n := checkRising(l.t, l.tokens); n != l.entries {
		l.t.Errorf("%d tokens for %d entries", n, l.entries)
	}
}

// A victim is the node of a cluster whose disk fails; its data are on a file system of
// their own.
type victim struct {
	*daemons.Node
	t      *testing.T
	others []*daemons.Node
	ledger *ledger
	log    string
	from   int // bytes of its log that belong to what was before
}

// victimOf starts a cluster whose last node is the victim, with a file system that mount
// makes at a path; nil is none of its own.
func victimOf(ctx context.Context, t *testing.T, mount func(path string) error, flags ...string) *victim {
	t.Helper()
	if mount != nil && os.Geteuid() != 0 {
		t.Skip("it mounts file systems, which only root may")
	}
	dir := t.TempDir()
	c, err := daemons.New(coordd(), dir, 3, append(flags, "--snapshot-entries", "100", "--snapshot-interval", "100ms")...)
	if err != nil {
		t.Fatal(err)
	}
	nodes := c.Nodes()
	v := &victim{Node: nodes[2], t: t, others: nodes[:2], log: filepath.Join(dir, nodes[2].Name+".log")}
	v.ledger = &ledger{t: t, cluster: c, tokens: filepath.Join(dir, "tokens")}
	unmount := func() error { return nil }
	if mount != nil {
		if err := errors.Join(os.Mkdir(v.Data, 0o700), mount(v.Data)); err != nil {
			t.Skipf("it cannot mount what it needs: %v", err)
		}
		unmount = func() error { return syscall.Unmount(v.Data, 0) }
	}
	t.Cleanup(func() {
		err := c.Stop()
		if err := errors.Join(err, unmount()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			printLogs(t, dir)
		}
	})
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	v.ledger.write(ctx, 3)
	return v
}

func (v *victim) must(errs ...error) {
	v.t.Helper()
	if err := errors.Join(errs...); err != nil {
		v.t.Fatal(err)
	}
}

// endsSaying holds that the process ends with exit code 1 and those words in what it says
// last.
func (v *victim) endsSaying(ctx context.Context, words ...string) {
	v.t.Helper()
	within, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	code, err := v.Ended(within)
	v.must(err)
	b, err := os.ReadFile(v.log)
	v.must(err)
	said := string(b[v.from:])
	v.from = len(b)
	last := said[max(0, strings.LastIndex(said, "coordd: ")):] // a line, or two if the stop hangs
	v.t.Logf("exit %d: %s", code, last)
	for _, w := range words {
		if code != 1 || !strings.Contains(last, w) {
			v.t.Errorf("ended with %d, and does not say %q:\n%s", code, w, said)
		}
	}
}

// refusesToStart holds that the node, which does not run, ends when it is started, and
// that the others go on.
func (v *victim) refusesToStart(ctx context.Context, words ...string) {
	v.t.Helper()
	v.must(v.Start())
	v.endsSaying(ctx, words...)
	v.ledger.write(ctx, 2)
}

// comesBack holds that the node is whole once it is started: with one of the others gone,
// nothing is missing that was ever acknowledged.
func (v *victim) comesBack(ctx context.Context) {
	v.t.Helper()
	v.must(v.Start(), v.AwaitReady(ctx), v.others[0].Kill())
	v.ledger.write(ctx, 2)
	v.ledger.check(ctx)
	v.must(v.others[0].Start(), v.others[0].AwaitReady(ctx), v.AwaitReady(ctx))
}

// segment is the file that the log's end is in.
func (v *victim) segment() string {
	v.t.Helper()
	names, err := filepath.Glob(filepath.Join(v.Data, "raft", "wal", "*.wal"))
	if err != nil || len(names) == 0 {
		v.t.Fatalf("no segments: %v", err)
	}
	return names[len(names)-1] // by first index
}

// written is how much of a segment is in use; it is made at its full size.
func written(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }

// damaged damages the log's file.
func (v *victim) damaged(ctx context.Context, damage func(b []byte) []byte, words ...string) {
	v.t.Helper()
	v.must(v.Kill())
	v.damagedFile(ctx, v.segment(), damage, words...)
}

// damagedFile damages a file of the node, which does not run. It gives its data up, and once
// it is started again takes its own place as another node.
func (v *victim) damagedFile(ctx context.Context, name string, damage func(b []byte) []byte, words ...string) {
	v.t.Helper()
	b, err := os.ReadFile(name)
	v.must(err, os.WriteFile(name, damage(b), 0o600))
	v.refusesToStart(ctx, append(words, "data are damaged", "start it again: it then joins as node")...)
	v.must(v.Start())
	v.awaitVote(ctx)
	aside, err := filepath.Glob(filepath.Join(v.Data, "raft.damaged-*"))
	if v.must(err); len(aside) != 1 {
		v.t.Errorf("set aside: %q", aside)
	}
	for _, dir := range aside {
		v.must(os.RemoveAll(dir))
	}
	v.must(v.Terminate())
	v.comesBack(ctx)
}

// awaitVote waits until the node, whichever it is by now, is one of three with a vote.
func (v *victim) awaitVote(ctx context.Context) {
	v.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		voters, is := 0, false
		if st, err := v.Status(ctx); err == nil {
			for _, m := range st.GetMembers() {
				if m.GetVoter() {
					voters++
					is = is || m.GetId() == st.GetNodeId()
				}
			}
		}
		if is && voters == 3 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			v.t.Fatal("it does not become a member with a vote")
		}
	}
}

// TestDisks: whatever one node's disk does, the others go on, nothing acknowledged is lost,
// and the node says what is wrong. docs/disks.md has what it says.
func TestDisks(t *testing.T) {
	ctx := bounded(t)
	v := victimOf(ctx, t, func(path string) error { return syscall.Mount("none", path, "tmpfs", 0, "size=200m,mode=700") })
	for _, test := range []struct {
		name string
		run  func(ctx context.Context, v *victim)
	}{
		{"full", fullDisk},
		{"read-only", readOnlyDisk},
		{"cut file", func(ctx context.Context, v *victim) {
			v.damaged(ctx, func(b []byte) []byte { return b[:written(b)/2] }, "the log ends at entry", "was written")
		}},
		{"a bit in the middle", func(ctx context.Context, v *victim) {
			v.damaged(ctx, func(b []byte) []byte {
				b[bytes.Index(b, []byte("marker-of-the-ledger"))] ^= 1
				return b
			}, "checksum of entry", "differs")
		}},
		{"a bit in the last entry", func(ctx context.Context, v *victim) {
			v.damaged(ctx, func(b []byte) []byte { b[written(b)-1] ^= 0x80; return b }, "the log ends at entry", "was written")
		}},
		{"damaged snapshot", damagedSnapshot},
	} {
		v.t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			w := *v
			l := *v.ledger
			w.t, l.t, w.ledger = t, t, &l
			test.run(ctx, &w)
			v.from, v.ledger.entries = w.from, l.entries
			t.Logf("%v", time.Since(began).Round(time.Millisecond))
		})
	}
}

// A disk that fills up while the node runs. Segments are made at their full size, so that
// space is missing at the next segment only; a hole in this one makes it miss now.
func fullDisk(ctx context.Context, v *victim) {
	f, err := os.OpenFile(v.segment(), os.O_RDWR, 0)
	v.must(err)
	info, err := f.Stat()
	v.must(err)
	const keepSize, punchHole, ahead = 0x1, 0x2, 1 << 20 // of linux/falloc.h
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	v.must(err)
	hole := int64(written(b)/4096+1) * 4096
	v.must(syscall.Fallocate(int(f.Fd()), keepSize|punchHole, hole, info.Size()-hole), f.Close())
	filler := filepath.Join(v.Data, "filler")
	for size, left := 0, 1<<20; left >= 4096; { // what fits
		g, err := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		v.must(err)
		n, err := g.Write(make([]byte, left))
		size += n
		if v.must(g.Close()); err != nil {
			left /= 2
		}
	}
	v.ledger.write(ctx, 8)
	v.endsSaying(ctx, "engine failed, this node cannot go on: write log:", "no space left on device")
	v.ledger.write(ctx, 2)
	v.must(os.Remove(filler))
	v.comesBack(ctx)
}

// A file system that has become read-only: one that runs has its files open, and finds out
// at its next write as with a full disk; here it is started on one.
func readOnlyDisk(ctx context.Context, v *victim) {
	v.must(v.Kill(), syscall.Mount("none", v.Data, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	v.refusesToStart(ctx, "read-only file system")
	v.must(syscall.Mount("none", v.Data, "tmpfs", syscall.MS_REMOUNT, ""))
	v.comesBack(ctx)
}

// The newest snapshot, of which there are two. The one before would do for a start, but need
// not reach up to the log.
func damagedSnapshot(ctx context.Context, v *victim) {
	v.must(v.Kill())
	states, err := filepath.Glob(filepath.Join(v.Data, "raft", "snapshots", "*", "state.bin"))
	v.must(err)
	if len(states) == 0 {
		v.t.Fatal("no snapshots")
	}
	slices.SortFunc(states, func(a, b string) int { return cmp.Compare(placeOf(v.t, a), placeOf(v.t, b)) })
	v.damagedFile(ctx, states[len(states)-1], func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "open snapshot", "CRC mismatch")
}

// placeOf is the entry of a snapshot, from its directory's name: term, entry and time.
func placeOf(t *testing.T, state string) (entry int) {
	t.Helper()
	var term, at int
	if _, err := fmt.Sscanf(filepath.Base(filepath.Dir(state)), "%d-%d-%d", &term, &entry, &at); err != nil {
		t.Fatal(err)
	}
	return entry
}

// TestStalledDisk: a disk on which every write hangs, that of the leader. It ends, as far as
// the kernel lets it, and others lead; when the disk answers again nothing is lost.
func TestStalledDisk(t *testing.T) {
	ctx := bounded(t)
	image := filepath.Join(t.TempDir(), "image")
	v := victimOf(ctx, t, func(path string) error {
		out, err := exec.CommandContext(ctx, "sh", "-c", `truncate -s 200M "$1" && mkfs.ext4 -q "$1" && mount -o loop "$1" "$2"`, "sh", image, path).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return os.RemoveAll(filepath.Join(path, "lost+found"))
	}, "--disk-stall-limit", "3s")
	for { // until it leads
		leader, err := v.ledger.cluster.Leader(ctx)
		v.must(err)
		if leader == v.Node {
			break
		}
		v.must(leader.Kill())
		_, err = v.ledger.cluster.Leader(ctx)
		v.must(err, leader.Start(), leader.AwaitReady(ctx))
	}
	v.must(freeze(v.Data, freezeOn))
	thawed := false
	thaw := func() {
		if !thawed {
			thawed = true
			v.must(freeze(v.Data, freezeOff))
		}
	}
	t.Cleanup(thaw) // before the cluster is stopped
	v.ledger.write(ctx, 3)
	thaw()
	v.endsSaying(ctx, "engine failed, this node cannot go on:", "the disk does not answer for 3s")
	v.comesBack(ctx)
}

const freezeOn, freezeOff = 0xC0045877, 0xC0045878 // FIFREEZE and FITHAW of linux/fs.h

func freeze(path string, what uintptr) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), what, 0); errno != 0 {
		return fmt.Errorf("freeze or thaw %s: %w", path, errno)
	}
	return nil
}

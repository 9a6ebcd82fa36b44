package hraft

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

// A logDir is the directory of a log in a test.
type logDir struct {
	t    *testing.T
	path string
}

// open opens it for do.
func (l logDir) open(do func(d *Disk, log raft.LogStore)) {
	l.t.Helper()
	d, err := OpenDisk(l.path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := d.StableStore.SetUint64([]byte(keyTerm), 9); err != nil {
		l.t.Fatal(err)
	}
	do(d, sealedLog{d.LogStore})
	if err := d.Close(); err != nil {
		l.t.Error(err)
	}
}

// store stores entries first to last, each in a write of its own.
func (l logDir) store(log raft.LogStore, first, last, term uint64) {
	l.t.Helper()
	for i := first; i <= last; i++ {
		if err := log.StoreLog(logOf(i, term, commandsOf(term, fmt.Sprintf("command %d", i)))); err != nil {
			l.t.Fatal(err)
		}
	}
}

// snapshot makes a snapshot at an entry.
func (l logDir) snapshot(d *Disk, index, term uint64) {
	l.t.Helper()
	sink, err := d.SnapshotStore.Create(1, index, term, raft.Configuration{}, 1, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := sink.Write(framed(l.t, []byte("state"))); err != nil {
		l.t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		l.t.Fatal(err)
	}
}

// wantOpen fails the test unless the log opens and has just the entries first to last.
func (l logDir) wantOpen(first, last uint64) {
	l.t.Helper()
	l.open(func(d *Disk, _ raft.LogStore) {
		f, err1 := d.LogStore.FirstIndex()
		e, err2 := d.LogStore.LastIndex()
		if err := errors.Join(err1, err2); err != nil || f != first || e != last {
			l.t.Errorf("the log has %d to %d, not %d to %d: %v", f, e, first, last, err)
		}
	})
}

// wantDamaged fails the test unless that is what is said, with some words.
func (l logDir) wantDamaged(words string) {
	l.t.Helper()
	d, err := OpenDisk(l.path, nil)
	if err == nil {
		_ = d.Close()
	}
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), words) {
		l.t.Errorf("open: %v, which is not damage with %q", err, words)
	}
}

// file is the one that matches a pattern.
func (l logDir) file(pattern string) string {
	l.t.Helper()
	names, err := filepath.Glob(filepath.Join(l.path, pattern))
	if err != nil || len(names) != 1 {
		l.t.Fatalf("%s is %q: %v", pattern, names, err)
	}
	return names[0]
}

// change changes the content of a file.
func (l logDir) change(pattern string, change func(b []byte) []byte) {
	l.t.Helper()
	name := l.file(pattern)
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, change(b), fileMode)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l logDir) remove(pattern string) {
	l.t.Helper()
	if err := os.RemoveAll(l.file(pattern)); err != nil {
		l.t.Fatal(err)
	}
}

// flip flips a bit so many bytes behind the start of a text.
func flip(text string, behind int) func(b []byte) []byte {
	return func(b []byte) []byte {
		b[bytes.Index(b, []byte(text))+behind] ^= 4
		return b
	}
}

const segments, metaFile = "wal/*.wal", "wal/wal-meta.db"

// What raft-wal makes of a damaged log, as the entries that it then has: a shorter log, or
// entries that are not what was written. Both are refused.
func TestFault11DamagedFiles(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(l logDir)
		said   string
		last   uint64 // that raft-wal has, without the guard; 0: none, or it does not open
	}{
		"a bit of a middle entry": {
			func(l logDir) { l.change(segments, flip("command 5", 0)) }, "checksum of entry 5 differs", 10,
		},
		"the length of a middle entry": { // of which the second byte is 3 of frame, 4 of codec and 9 of envelope before it
			func(l logDir) { l.change(segments, flip("command 5", -16)) }, "the log ends at entry", 4,
		},
		"a bit of the last entry": {
			func(l logDir) { l.change(segments, flip("command 10", 0)) }, "the log ends at entry 9 and", 9,
		},
		"a cut file": {
			func(l logDir) {
				l.change(segments, func(b []byte) []byte { return b[:bytes.Index(b, []byte("command 5"))] })
			},
			"the log ends at entry", 4,
		},
		"an empty file": {
			func(l logDir) { l.change(segments, func([]byte) []byte { return nil }) }, "the log ends at entry 0", 0,
		},
		"no file":        {func(l logDir) { l.remove(segments) }, "the log ends at entry 0", 0},
		"no list":        {func(l logDir) { l.remove(metaFile) }, "wal-meta.db is missing", 0},
		"a cut list":     {func(l logDir) { l.change(metaFile, func(b []byte) []byte { return b[:9<<10] }) }, "", 0},
		"an empty list":  {func(l logDir) { l.change(metaFile, func(b []byte) []byte { clear(b); return b }) }, "", 0},
		"list, not JSON": {func(l logDir) { l.change(metaFile, everyFlipped(`{"NextSegmentID"`, 0)) }, "", 0},
		"no vote":        {func(l logDir) { l.change(metaFile, everyFlipped(keyBallot, 0)) }, "no term and vote", 10},
		"another vote": { // behind its name
			func(l logDir) { l.change(metaFile, everyFlipped(keyBallot, len(keyBallot)+6)) }, "term and vote differs", 10,
		},
		"no record":      {func(l logDir) { l.change("written", func(b []byte) []byte { clear(b); return b }) }, "has no record", 10},
		"another record": {func(l logDir) { l.change("written", recorded(position{10, 9})) }, "of term 9 was written", 10},
	} {
		t.Run(name, func(t *testing.T) {
			l := logDir{t, t.TempDir()}
			l.open(func(_ *Disk, log raft.LogStore) { l.store(log, 1, 10, 3) })
			l.wantOpen(1, 10)
			test.damage(l)
			if test.last > 0 {
				l.wantUnguarded(test.last)
			}
			l.wantDamaged(test.said)
			if test.said != "" { // and again: nothing was mended or cut
				l.wantDamaged(test.said)
			} // else bbolt has panicked, and has the file locked until this process ends
		})
	}
}

// everyFlipped flips a bit so many bytes behind a text wherever it stands: bbolt leaves
// older pages behind.
func everyFlipped(text string, behind int) func(b []byte) []byte {
	return func(b []byte) []byte {
		for i := range b {
			if bytes.HasPrefix(b[i:], []byte(text)) {
				b[i+behind] ^= 4
			}
		}
		return b
	}
}

func recorded(at position) func(b []byte) []byte {
	return func(b []byte) []byte {
		copy(b, record(98, at))
		copy(b[writtenSlot:], record(99, at))
		return b
	}
}

// wantUnguarded fails the test unless raft-wal itself opens the log and says that it ends
// at an entry.
func (l logDir) wantUnguarded(last uint64) {
	l.t.Helper()
	var db metadb.BoltMetaDB
	w, err := wal.Open(filepath.Join(l.path, "wal"), wal.WithMetaStore(&db))
	if err != nil {
		l.t.Errorf("the library: %v", err)
		return
	}
	if got, err := w.LastIndex(); err != nil || got != last {
		l.t.Errorf("the library has entries to %d, %v", got, err)
	}
	if err := w.Close(); err != nil {
		l.t.Error(err)
	}
}

// A write that the power failed in was not acknowledged: it is cut, and the node goes on.
func TestTornLastWrite(t *testing.T) {
	l := logDir{t, t.TempDir()}
	l.open(func(_ *Disk, log raft.LogStore) { l.store(log, 1, 9, 3) })
	before, err := os.ReadFile(l.file("written"))
	if err != nil {
		t.Fatal(err)
	}
	l.open(func(_ *Disk, log raft.LogStore) { l.store(log, 10, 10, 3) })
	l.change(segments, flip("command 10", 0))
	l.change("written", func([]byte) []byte { return before }) // it comes after the entry
	l.wantOpen(1, 9)
	l.open(func(_ *Disk, log raft.LogStore) { l.store(log, 10, 12, 3) })
	l.wantOpen(1, 12)
	// A record that is torn itself leaves the one before.
	l.change("written", func(b []byte) []byte { b[writtenSlot+8] ^= 1; return b })
	l.wantOpen(1, 12)
	l.change("written", func(b []byte) []byte { b[8] ^= 1; return b })
	l.wantDamaged("has no record")
}

// A log that is made shorter on purpose is not damaged, whenever the process ends.
func TestShorterLog(t *testing.T) {
	l := logDir{t, t.TempDir()}
	l.open(func(_ *Disk, log raft.LogStore) { l.store(log, 1, 10, 3) })
	l.open(func(_ *Disk, log raft.LogStore) {
		if err := log.DeleteRange(7, 10); err != nil {
			t.Fatal(err)
		}
	})
	l.wantOpen(1, 6)
	for slot := range writtenSlots { // no record that is left says more
		whole, err := os.ReadFile(l.file("written"))
		if err != nil {
			t.Fatal(err)
		}
		l.change("written", func(b []byte) []byte { b[slot*writtenSlot] ^= 1; return b })
		l.wantOpen(1, 6)
		l.change("written", func([]byte) []byte { return whole })
	}
	l.open(func(d *Disk, _ raft.LogStore) { // and the process ends before it deletes
		if err := d.LogStore.(*diskLog).lower(5); err != nil {
			t.Fatal(err)
		}
	})
	l.wantOpen(1, 6)
	l.open(func(_ *Disk, log raft.LogStore) { l.store(log, 7, 8, 4) })
	l.wantOpen(1, 8)
	l.open(func(d *Disk, log raft.LogStore) { // a snapshot of a leader's
		l.snapshot(d, 20, 5)
		if err := log.DeleteRange(1, 8); err != nil {
			t.Fatal(err)
		}
	})
	l.wantOpen(0, 0)
	l.open(func(d *Disk, log raft.LogStore) {
		l.store(log, 21, 30, 5)
		l.snapshot(d, 28, 5)
		if err := log.DeleteRange(21, 25); err != nil { // its beginning
			t.Fatal(err)
		}
	})
	l.wantOpen(26, 30)
	l.change(segments, flip("command 30", 0))
	l.wantDamaged("the log ends at entry 29 and the newest snapshot at 28, but entry 30 was written")
}

// A log whose snapshot is gone is not a log from its first entry on, and one with neither
// is not new.
func TestSnapshotGone(t *testing.T) {
	l := logDir{t, t.TempDir()}
	l.open(func(d *Disk, log raft.LogStore) {
		l.store(log, 1, 10, 3)
		l.snapshot(d, 5, 3)
		l.snapshot(d, 8, 3)
		if err := log.DeleteRange(1, 7); err != nil {
			t.Fatal(err)
		}
	})
	l.wantOpen(8, 10)
	l.remove("snapshots/3-8-*")
	l.wantDamaged("the log begins at entry 8, and the newest snapshot ends at 5")
	l = logDir{t, t.TempDir()}
	l.open(func(d *Disk, log raft.LogStore) {
		l.store(log, 1, 3, 3)
		l.snapshot(d, 8, 3)
		if err := log.DeleteRange(1, 3); err != nil {
			t.Fatal(err)
		}
	})
	l.remove("snapshots/3-8-*")
	l.wantDamaged("the newest snapshot at 0, but entry 8 was written")
}

// A segment that cannot be made is found out at the write after the one that filled the
// last; it is said why.
func TestSegmentCannotBeMade(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a whole segment")
	}
	l := logDir{t, t.TempDir()}
	l.open(func(_ *Disk, log raft.LogStore) {
		for base := range 20 { // of whichever is next, the second that is made
			name := fmt.Sprintf("%020d-%016x.wal", base, 1)
			if err := os.WriteFile(filepath.Join(l.path, "wal", name), nil, fileMode); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		for i := uint64(1); err == nil && i < 20; i++ {
			err = log.StoreLog(logOf(i, 3, commandsOf(3, strings.Repeat("x", 5<<20))))
		}
		if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "make segment") {
			t.Errorf("stored: %v", err)
		}
	})
}

// What is no damage is not called so: nobody must give up data for a disk that is full.
func TestDiskErrorIsNotDamage(t *testing.T) {
	for name, spoil := range map[string]func(l logDir){
		"a directory": func(l logDir) { // EISDIR
			l.remove(metaFile)
			if err := os.Mkdir(filepath.Join(l.path, metaFile), dirMode); err != nil {
				t.Fatal(err)
			}
		},
		"no record of an older version": func(l logDir) { l.remove("written") },
	} {
		t.Run(name, func(t *testing.T) {
			l := logDir{t, t.TempDir()}
			l.open(func(_ *Disk, log raft.LogStore) { l.store(log, 1, 10, 3) })
			spoil(l)
			if d, err := OpenDisk(l.path, nil); err == nil || errors.Is(err, ErrDamaged) {
				t.Errorf("open: %v, %v", d, err)
			}
		})
	}
}

package hraft

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft/hrafttest"
)

// wire is a transport whose calls come from a test.
type wire struct {
	*raft.NetworkTransport
	calls   chan raft.RPC
	onClose func() // may be nil
}

func (w *wire) Close() error {
	if w.onClose != nil {
		w.onClose()
	}
	return w.NetworkTransport.Close()
}

func (w *wire) Consumer() <-chan raft.RPC { return w.calls }

// ask makes a call; the answer comes later.
func (w *wire) ask(command any, data []byte) <-chan raft.RPCResponse {
	answer := make(chan raft.RPCResponse, 1)
	w.calls <- raft.RPC{Command: command, Reader: bytes.NewReader(data), RespChan: answer}
	return answer
}

// A follower is a node of three; the test is the leader of term 2.
type follower struct {
	*Engine
	*wire
	t       *testing.T
	machine *tape
	stores  *hrafttest.Stores
}

func (f *follower) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("n1"), Addr: []byte("n1:1")}
}

// append sends entries first to last, which are committed.
func (f *follower) append(first, last uint64) <-chan raft.RPCResponse {
	return f.appendIn(2, first, last, last)
}

// appendIn does so in a later term, whose first entries they are.
func (f *follower) appendIn(term, first, last, committed uint64) <-chan raft.RPCResponse {
	prev := uint64(2)
	if first == 2 {
		prev = 1 // of the configuration, with which all begin
	}
	return f.ask(f.request(term, prev, first, last, committed), nil)
}

func (f *follower) request(term, prev, first, last, committed uint64) *raft.AppendEntriesRequest {
	r := &raft.AppendEntriesRequest{
		RPCHeader: f.header(), Term: term, PrevLogEntry: first - 1, PrevLogTerm: prev, LeaderCommitIndex: committed,
	}
	for i := first; i <= last; i++ {
		l := logOf(i, term, commandsOf(term, "x"))
		l.Extensions = sealOf(l)
		r.Entries = append(r.Entries, l)
	}
	return r
}

// install sends the snapshot at an index.
func (f *follower) install(index uint64) <-chan raft.RPCResponse { return f.installIn(2, index) }

// installIn does so in a later term, of which the entry is.
func (f *follower) installIn(term, index uint64) <-chan raft.RPCResponse {
	data := framed(f.t, []byte("state"))
	return f.ask(&raft.InstallSnapshotRequest{
		RPCHeader: f.header(), SnapshotVersion: raft.SnapshotVersionMax, Term: term, LastLogIndex: index, LastLogTerm: term,
		Configuration:      raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "n0", Address: "n0:1"}}}),
		ConfigurationIndex: 1, Size: int64(len(data)),
	}, data)
}

func (f *follower) wantInstalled(answer <-chan raft.RPCResponse) {
	f.t.Helper()
	a := <-answer
	if r, _ := a.Response.(*raft.InstallSnapshotResponse); a.Error != nil || !r.Success {
		f.t.Errorf("install: %+v, %v", a.Response, a.Error)
	}
}

func (f *follower) wantAppended(answer <-chan raft.RPCResponse) {
	f.t.Helper()
	a := <-answer
	if r, _ := a.Response.(*raft.AppendEntriesResponse); a.Error != nil || !r.Success {
		f.t.Errorf("append: %+v, %v", a.Response, a.Error)
	}
}

// wantLog fails the test unless the log has the entries from first to last.
func (f *follower) wantLog(first, last uint64) {
	f.t.Helper()
	for i := first; i <= last; i++ {
		if err := f.stores.GetLog(i, new(raft.Log)); err != nil {
			f.t.Errorf("entry %d: %v", i, err)
		}
	}
}

// newFollower returns a follower that does not run, and the configuration of its cluster.
func newFollower(t *testing.T, disk *hrafttest.Disk) (*follower, Config) {
	t.Helper()
	stream, err := hrafttest.NewNetwork().Stream("n0:1")
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, machine: new(tape), stores: disk.Open()}
	f.wire = &wire{NetworkTransport: NewTransport(stream, nil), calls: make(chan raft.RPC, 8)}
	cfg := Config{
		LocalID: "n0", Machine: f.machine, Transport: f.wire,
		LogStore: f.stores, StableStore: f.stores, SnapshotStore: f.stores,
	}
	for _, name := range []string{"n0", "n1", "n2"} {
		cfg.Bootstrap = append(cfg.Bootstrap, raftstore.Member{ID: name, Address: name + ":1", Voter: true})
	}
	return f, cfg
}

// inTerm2 runs do with a follower, whose disk may have been another's before.
func inTerm2(t *testing.T, disk *hrafttest.Disk, do func(f *follower)) {
	t.Helper()
	f, cfg := newFollower(t, disk)
	var err error
	if f.Engine, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	do(f)
	if err := f.Engine.Close(); err != nil {
		t.Error(err)
	}
	disk.Crash()
}

// unguarded is inTerm2 with nothing between raft and its stores and transport: what
// happens then is what the guards are for.
func unguarded(t *testing.T, disk *hrafttest.Disk, do func(f *follower)) {
	t.Helper()
	f, cfg := newFollower(t, disk)
	cfg = cfg.withDefaults()
	if err := bootstrap(cfg, f.stores); err != nil {
		t.Fatal(err)
	}
	f.Engine = &Engine{failure: newFailure()}
	machine := &fsm{machine: f.machine, failure: f.failure, moved: func(position, int64) {}, unread: newFailure()}
	r, err := raft.NewRaft(cfg.raft(), machine, f.stores, f.stores, placedStore{f.stores, newFailure()}, f.wire)
	if err != nil {
		t.Fatal(err)
	}
	do(f)
	if err := errors.Join(r.Shutdown().Error(), f.wire.Close()); err != nil {
		t.Error(err)
	}
	disk.Crash()
}

// What a node has acknowledged it keeps, whatever snapshot comes late or twice: without
// the guard raft replaces its log by the snapshot, and panics at the next entry.
func TestLateSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(hrafttest.Disk)
		inTerm2(t, disk, func(f *follower) {
			f.wantAppended(f.append(2, 10))
			f.wantInstalled(f.install(5))
			f.wantInstalled(f.install(10))
			f.wantLog(2, 10)
			// It is judged by what the log has when its turn comes.
			appended, installed := f.append(11, 12), f.install(12)
			f.wantAppended(appended)
			f.wantInstalled(installed)
			f.wantLog(11, 12)
			if f.machine.restored != 0 {
				t.Errorf("restored %d times", f.machine.restored)
			}
		})
		inTerm2(t, disk, func(f *follower) { // which does not know yet what is committed
			f.wantInstalled(f.install(5))
			f.wantAppended(f.append(13, 14))
			f.wantLog(2, 14)
			synctest.Wait()
			if n := len(f.machine.commands); n != 13 || f.machine.restored != 0 {
				t.Errorf("%d commands applied, %d restored", n, f.machine.restored)
			}
		})
	})
}

// A snapshot that is ahead of the log is installed; it, and older ones, are had then.
func TestNewSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inTerm2(t, new(hrafttest.Disk), func(f *follower) {
			f.wantAppended(f.append(2, 4))
			// All three are on their way before the first is installed.
			all := []<-chan raft.RPCResponse{f.install(20), f.install(20), f.install(10)}
			for _, answer := range all {
				f.wantInstalled(answer)
			}
			if f.machine.restored != 1 {
				t.Errorf("restored %d times", f.machine.restored)
			}
			f.wantAppended(f.append(21, 22))
			f.wantLog(21, 22)
		})
	})
}

// A snapshot that could not be restored is not had: it is installed when it comes again.
func TestSnapshotThatWasNotRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inTerm2(t, new(hrafttest.Disk), func(f *follower) {
			f.wantAppended(f.append(2, 4))
			f.machine.broken = true
			if a := <-f.install(20); a.Error == nil {
				t.Errorf("installed: %+v", a.Response)
			}
			f.wantInstalled(f.install(20))
			f.wantAppended(f.append(21, 22))
			if f.machine.restored != 1 {
				t.Errorf("restored %d times", f.machine.restored)
			}
		})
	})
}

// Entries follow the snapshot in the place of others that were never committed, and that
// raft, which finds no entry of the snapshot in its log, would not look at.
func TestStaleEndBehindASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(hrafttest.Disk)
		inTerm2(t, disk, func(f *follower) {
			f.wantInstalled(f.install(20))
			f.wantAppended(f.appendIn(2, 21, 23, 20)) // of a leader that was then cut off
			f.wantAppended(f.appendIn(3, 21, 22, 22))
			synctest.Wait()
			if n := len(f.machine.commands); n != 2 {
				t.Errorf("%d commands applied", n)
			}
			if err := f.stores.GetLog(23, new(raft.Log)); err == nil {
				t.Error("the stale end is there")
			}
		})
		inTerm2(t, disk, func(f *follower) { f.wantLog(21, 22) })
	})
}

// A snapshot in the place of a log that goes beyond it, with entries that were never
// committed, is taken; but then raft has to be started again.
func TestSnapshotWithinAStaleLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(hrafttest.Disk)
		inTerm2(t, disk, func(f *follower) {
			f.wantAppended(f.append(2, 4))
			f.wantAppended(f.appendIn(2, 5, 30, 4)) // of a leader that was then cut off
			f.wantInstalled(f.installIn(3, 20))
			<-f.Failed()
			if err := f.Err(); !errors.Is(err, errStale) {
				t.Errorf("failed with %v", err)
			}
		})
		inTerm2(t, disk, func(f *follower) {
			follows := f.request(3, 3, 21, 22, 22)
			f.wantAppended(f.ask(follows, nil))
			f.wantLog(21, 22)
		})
	})
}

// A snapshot that does not come to its end does not keep the node from closing.
func TestCloseWithinASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inTerm2(t, new(hrafttest.Disk), func(f *follower) {
			f.wantAppended(f.append(2, 4))
			r, w := io.Pipe()
			f.onClose = func() { _ = w.CloseWithError(io.ErrUnexpectedEOF) } // as of a connection
			f.calls <- raft.RPC{
				Command: &raft.InstallSnapshotRequest{RPCHeader: f.header(), Term: 2, LastLogIndex: 4, LastLogTerm: 2, Size: 1},
				Reader:  r, RespChan: make(chan raft.RPCResponse, 1),
			}
			synctest.Wait()
		})
	})
}

// A node that ends between the installation of a snapshot and the deletion of the log that
// it takes the place of goes on from the snapshot. Without clearStale it can append nothing
// any more, or has entries that others never had.
func TestCrashWithinInstall(t *testing.T) {
	for name, test := range map[string]struct {
		last uint64 // of a log in term 2
	}{"a log behind it": {10}, "a log beyond it, of another term": {30}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := new(hrafttest.Disk)
				inTerm2(t, disk, func(f *follower) {
					f.wantAppended(f.append(2, 4))
					f.wantAppended(f.appendIn(2, 5, test.last, 4)) // of a leader that was then cut off
					sink, err := f.stores.Create(1, 20, 3, raft.Configuration{Servers: []raft.Server{{ID: "n0", Address: "n0:1"}}}, 1, nil)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := sink.Write(framed(t, []byte("state"))); err != nil {
						t.Fatal(err)
					}
					if err := sink.Close(); err != nil {
						t.Fatal(err)
					}
				})
				inTerm2(t, disk, func(f *follower) {
					if last, err := f.stores.LastIndex(); last != 0 || err != nil {
						t.Errorf("the log ends at %d, %v", last, err)
					}
					f.wantAppended(f.ask(f.request(3, 3, 21, 22, 22), nil))
					f.wantLog(21, 22)
				})
			})
		})
	}
}

package hraft

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore/hraft/hrafttest"
)

// Fault 1: what a node has acknowledged it keeps, whatever snapshot comes late or twice.
// Without the guard raft replaces its log by the snapshot.
func TestFault1LateSnapshot(t *testing.T) {
	t.Run("without the guard", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			unguarded(t, new(hrafttest.Disk), func(f *follower) {
				f.wantAppended(f.append(2, 10))
				f.wantInstalled(f.install(5))
				if last, err := f.stores.LastIndex(); last != 0 || err != nil {
					t.Errorf("the log ends at %d, %v", last, err)
				}
			})
		})
	})
	t.Run("guarded", func(t *testing.T) { synctest.Test(t, testLateSnapshot) })
}

func testLateSnapshot(t *testing.T) {
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

// wantRefused is the opposite of wantAppended.
func (f *follower) wantRefused(answer <-chan raft.RPCResponse) {
	f.t.Helper()
	a := <-answer
	if r, _ := a.Response.(*raft.AppendEntriesResponse); a.Error != nil || r.Success {
		f.t.Errorf("append: %+v, %v", a.Response, a.Error)
	}
}

// Fault 3: entries that were never committed and stand behind, or around, a snapshot keep
// out what follows it: raft refuses that, is sent the snapshot again, and so on.
func TestFault3SnapshotLivelock(t *testing.T) {
	behind := func(f *follower) {
		f.wantInstalled(f.install(20))
		f.wantAppended(f.appendIn(2, 21, 23, 20)) // of a leader that was then cut off
	}
	around := func(f *follower) {
		f.wantAppended(f.append(2, 4))
		f.wantAppended(f.appendIn(2, 5, 30, 4)) // of a leader that was then cut off
		f.wantInstalled(f.installIn(3, 20))
	}
	t.Run("behind, without the guard", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			unguarded(t, new(hrafttest.Disk), func(f *follower) {
				behind(f)
				for range 3 {
					f.wantRefused(f.appendIn(3, 21, 22, 22))
					f.wantInstalled(f.installOf(3, 20, 2))
				}
			})
		})
	})
	t.Run("around, without the guard", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			unguarded(t, new(hrafttest.Disk), func(f *follower) {
				around(f)
				for range 3 {
					f.wantRefused(f.ask(f.request(3, 3, 21, 22, 22), nil))
					f.wantInstalled(f.installIn(3, 20))
				}
			})
		})
	})
	t.Run("behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk := new(hrafttest.Disk)
			inTerm2(t, disk, func(f *follower) {
				behind(f)
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
	})
	t.Run("around", func(t *testing.T) { // then raft has to be started again
		synctest.Test(t, func(t *testing.T) {
			disk := new(hrafttest.Disk)
			inTerm2(t, disk, func(f *follower) {
				around(f)
				<-f.Failed()
				if err := f.Err(); !errors.Is(err, errStale) {
					t.Errorf("failed with %v", err)
				}
			})
			inTerm2(t, disk, func(f *follower) {
				f.wantAppended(f.ask(f.request(3, 3, 21, 22, 22), nil))
				f.wantLog(21, 22)
			})
		})
	})
}

// A log that fails once, as an fsync does, and then works.
type failsOnce struct {
	raft.LogStore
	failed bool
}

func (s *failsOnce) StoreLogs(logs []*raft.Log) error {
	if !s.failed && logs[0].Index > 2 {
		s.failed = true
		return errBroken
	}
	return s.LogStore.StoreLogs(logs)
}

// Fault 5: after a write that failed raft goes on, and takes the next that succeeds for a
// sign that all is well. Here the first error is the last thing that a node does.
func TestFault5WriteError(t *testing.T) {
	broken := func(s *hrafttest.Stores) raft.LogStore { return &failsOnce{LogStore: s} }
	t.Run("without the guard", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			unguardedOn(t, new(hrafttest.Disk), broken, func(f *follower) {
				f.wantAppended(f.append(2, 2))
				f.wantRefused(f.append(3, 3))
				f.wantAppended(f.append(3, 3))
			})
		})
	})
	t.Run("guarded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inTerm2On(t, new(hrafttest.Disk), broken, func(f *follower) {
				f.wantAppended(f.append(2, 2))
				f.calls <- raft.RPC{Command: f.request(2, 2, 3, 3, 3), RespChan: make(chan raft.RPCResponse, 1)}
				<-f.Failed()
				if err := f.Err(); !errors.Is(err, errBroken) {
					t.Errorf("failed with %v", err)
				}
				synctest.Wait()
				if last, err := f.stores.LastIndex(); last != 2 || err != nil {
					t.Errorf("the log ends at %d, %v", last, err)
				}
			})
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

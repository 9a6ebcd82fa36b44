// Package hraft is the raftstore.Engine on hashicorp/raft and raft-wal.
//
// Invariants:
//
//  1. An entry is decoded and verified before anything of it is applied, and applied
//     only if the term it was proposed in is the term it is logged in.
//  2. After an entry that cannot be applied, and after the first error of a store,
//     this node writes, applies, snapshots and restores nothing more: Failed is closed
//     and raft is shut down. Nothing is tried again: after a failed fsync a second one
//     may succeed and mean nothing. An error of the snapshot store is none of these: that
//     snapshot is given up, what it was to replace stays, and a later one begins anew.
//  3. raft never waits for this package: what it has to tell goes into values of which
//     only the newest counts.
//  4. No caller waits for a future of raft without an end of its own: some never come
//     (those that are queued when raft shuts down).
//  5. Every byte of a snapshot that reaches the Machine has passed a checksum that
//     travelled with it.
//  6. What is read from the log was logged: every entry carries a seal, a checksum over
//     index, term, type and data, from the leader that made it. It is verified before an
//     entry is stored, and whenever one is read, from disk or memory.
//  7. A log is opened only if it goes as far as it is known to have gone (written.go has
//     the order of the writes), has no gap behind the newest snapshot, and every entry in
//     it passes its seal. What does not is ErrDamaged, at Open too; what the operating
//     system refuses (EIO, no space, read-only) is not, because the data may be whole.
//  8. A write that takes longer than Config.StallLimit is a failure (2). A node that has
//     failed sends nothing more: its connections are closed before anything is waited for.
//
// # Faults of the libraries, and what is done about them here
//
// Guards are wrappers around raft's Transport and stores, so that a test of a fault can
// leave one out. The numbers are those of the reliability plan; a test with one in its name
// shows the fault without its guard, and its absence with it.
//
//	    fault                                     guard                   test
//	 1  a late InstallSnapshot wipes a newer log  guard                   TestFault1LateSnapshot
//	 2  a vote is torn between its two writes     votes                   TestFault2TornVote
//	 3  a stale end of the log behind a snapshot  guard; where only a     TestFault3SnapshotLivelock
//	    keeps what follows that out               new start helps, errStale
//	 4  a leader whose disk hangs leads on        stall                   TestFault4StalledDisk
//	 4  a pipeline wedges after a bad response    guard: there are none   (1)
//	 5  a failed write is tried again, or panics  stopLog, stopStable     TestFault5WriteError
//	 6  a failed proposal may be on disk          translate               conformance: Deposed, LostBatch (2)
//	 7  futures that never come                   await, drain            TestFault7LostFuture
//	 8  a transfer that does not end refuses all  stuck                   TestFault8StuckTransfer
//	 9  the channel that tells of leadership      watch: observations     conformance: Flapping (2)
//	    blocks raft                               that may be dropped
//	10  a snapshot is not verified when it is     frames, fsm.Restore     TestFramesDamaged, TestFSMRestore (2)
//	    sent, and an older one is taken           placedStore             TestDamagedSnapshot (2)
//	 -  a leader sends a damaged snapshot, that   placedStore             TestDamagedSnapshotOfALeader (2)
//	    nobody can install, until it is replaced
//	11  entries are not verified when they are    sealedLog, guard        TestFault11DamagedEntry
//	    read, nor when they arrive
//	11  a damaged log is cut at the damage        written, diskLog.check  TestFault11DamagedFiles
//	12  timeouts out of order, no pre-vote        Config.validate         TestConfig (2)
//	 -  a crash between a snapshot's installation clearStale              TestCrashWithinInstall
//	    and the deletion of the log
//	 -  an unfinished snapshot stays for ever     OpenDisk, steadySink    TestOpenDiskRemovesUnfinishedSnapshots
//	 -  a bootstrap is killed between two writes  finishBootstrap         TestBootstrapCutShort
//	 -  the log's cache is bounded by number only cachedLog               TestCacheBounds
//	 -  deleted entries are still served          cachedLog               TestCacheOnDisk
//
// (1) Not provoked: it takes a response that is bad at the moment at which the next request
// is written. (2) The test is of the guard; it does not run the fault without it.
//
// # A race that is left
//
// When a member's address changes raft writes the peer's record under a lock, and reads its
// id without it (startStopReplication, updateLastAppended). The id stays the same, so that
// whatever is read is right; the race detector says so all the same.
//
// # What is not noticed
//
// A whole directory that is an old copy of itself: everything in it agrees. The node then
// lacks what it had acknowledged, and may vote for a candidate that lacks it too
// (TestOldCopyLosesEntries). internal/peer keeps such a node away from raft if any node that it
// meets has seen it with more; what nobody there has seen is not noticed. A list of
// segments that is damaged so that it is still a list has no checksum of its own: it shows
// as a log that is too short, begins too late, or has an entry in the place of another.
//
// It knows nothing of what is in an entry beyond the envelope of raftstore.
package hraft

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
//
// # Faults of the libraries, and what is done about them here
//
// Guards are wrappers around raft's Transport and stores, so that a test of a fault can
// leave one out.
//
//   - A pipeline wedges for good after a bad response: there are none (guard).
//   - A write error makes a leader only step down, and a follower try again; an error of
//     the stable store makes raft panic: stopLog, stopStable.
//   - A failed proposal may be on disk: translate.
//   - Futures that never come: await, and Close, which first waits for those that will.
//   - A transfer that fails may leave a leader refusing all entries: stuck.
//   - The channel that tells of leadership blocks raft's goroutine: watch uses
//     observations that may be dropped.
//   - Entries are not verified when they are read: the envelope, in fsm.
//   - The snapshot a node was sent is not verified, and an older one than the newest is
//     taken at the start if need be: frames, placedStore.
//   - A snapshot that is not finished stays for ever: OpenDisk, steadySink.
//   - A bootstrap may be killed between its two writes: finishBootstrap.
//   - The log's cache is bounded only by the number of entries: cachedLog.
//   - Entries that were deleted are still served, for a while: cachedLog.
//   - A late InstallSnapshot wipes a newer log: guard.
//   - A stale end of the log behind a snapshot keeps what follows that out: guard. Where
//     only a new start helps, Failed is closed.
//
// Not guarded yet: a vote torn between its two writes; a disk that stalls (the leader keeps
// its leadership; its entries time out, and Log asks for a transfer).
//
// It knows nothing of what is in an entry beyond the envelope of raftstore.
package hraft

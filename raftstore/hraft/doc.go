// Package hraft is the raftstore.Engine on hashicorp/raft and raft-wal.
//
// Invariants:
//
//  1. An entry is decoded and verified before anything of it is applied, and applied
//     only if the term it was proposed in is the term it is logged in.
//  2. After an entry that cannot be applied, and after the first error of a store,
//     this node writes, applies, snapshots and restores nothing more: Failed is closed
//     and raft is shut down. Nothing is tried again: after a failed fsync a second one
//     may succeed and mean nothing.
//  3. raft never waits for this package: what it has to tell goes into values of which
//     only the newest counts.
//  4. No caller waits for a future of raft without an end of its own: some never come
//     (those that are queued when raft shuts down).
//  5. Every byte of a snapshot that reaches the Machine has passed a checksum that
//     travelled with it.
//
// raft's faults are guarded by wrappers around its Transport and its stores
// (guard, stopLog, stopStable), so that a test of a fault can leave one out.
//
// It knows nothing of what is in an entry beyond the envelope of raftstore.
package hraft

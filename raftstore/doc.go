// Package raftstore is the replicated log: a Machine is driven by the entries of an
// Engine, and a Log, the only proposer, gathers commands into entries (group commit).
//
// Invariants:
//
//  1. At most one entry of a Log is in flight. Whatever is submitted meanwhile joins
//     the next: of one source in the order of the submissions, of several by turns.
//  2. An entry is applied only in the term in which it was proposed; in another it is
//     passed over by every node alike. So increments of one term are disjoint real
//     intervals in which its leader led, and terms are disjoint (SEMANTICS A1).
//  3. A leadership (a stretch of Leadership.Leading) begins with a barrier: an entry
//     without commands that is applied here. The machine then has everything that was
//     ever acknowledged.
//  4. A leadership ends at the first command that fails. All later ones of it fail too:
//     of a source, what commits is the beginning of what it submitted, without a gap.
//  5. ErrNotLeader, ErrOverloaded and ErrClosed are certain: the command has no effect,
//     ever. Whatever is not certain is ErrUnknown.
//  6. An entry carries its own checksum and version, and a node that cannot understand
//     one stops before it applies it.
//
// A leadership is not always a whole term. If an entry fails and the engine goes on to
// lead the same term (a disk that stalled, a transfer that came to nothing), the Log
// asks it to hand over, and if nobody takes over begins another leadership of that
// term, behind a new barrier. That is safe because an engine keeps the order of what
// one term's leader appends: when the second barrier is applied, what was unknown
// before it is settled. Waiting for a new term instead would wait for ever on a single
// node.
//
// What it measures it tells internal/telemetry. It does not know what a command means, does
// not retry, and reads the wall clock for nothing but the times of spans.
package raftstore

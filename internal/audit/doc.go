// Package audit writes a line for each decision that is worth one: who wanted what, and whether
// it was allowed.
//
// Invariants:
//
//  1. Record never waits: not for a disk, and not for whoever else records. What comes while
//     the queue is full is counted, and a line says how many those were.
//  2. A refusal that is the same as one of the last ten seconds, but for the client's port, is
//     counted, not written: whoever asks again and again fills no disk. The count is written when
//     the ten seconds are over. Of more different ones than 4,096 there is only a count.
//  3. A line that cannot be written is lost, which the log says, and the next one is tried: a
//     full disk stops nobody from unlocking.
//  4. One goroutine writes, which Close stops and waits for; what was recorded before Close is
//     written.
//
// What it does not do: decide (internal/rights), rotate (whoever does sends SIGHUP), sign.
package audit

// Package lock is the room of mutexes, read-write mutexes and semaphores: one permit
// queue with three rules, pure. Conds, from which one comes back to a lock, are here too. It
// is no client API; see package client for that.
//
// A lock held exclusively excludes every other hold of it; locks held shared exclude an
// exclusive one; a semaphore gives out permits up to its limit. The room says whether
// an arm can proceed now (Ready, asked only when nobody stands ahead of it), takes and
// gives back (Commit, Release), and sees no queue, no session and no time. That a
// waiting writer blocks later readers, that readers at the head are granted together
// and that no small request overtakes a large one all follow from the queue
// (SEMANTICS D1, E1, E2).
//
//  1. A lock has one exclusive holder, or any number of shared ones. Its owner is a call
//     (session, seq): two holds of one session exclude each other.
//  2. The permits held of a semaphore are within its limit in force, or none was granted
//     since it fell below them.
//  3. A lock that nobody holds is not in the room. A semaphore's limit stays. Of a cond there
//     is nothing but who waits on it, so it is never in the room.
//  4. An arm of a cond names a lock and never proceeds itself (SEMANTICS E6). An arm of a lock
//     that names a cond has taken a Signal; nobody can ask for such a one.
package lock

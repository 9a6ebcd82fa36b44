// Package session has the machine's half of the sessions: their leases, the numbers of
// their calls, what they hold, the results that are kept for them, and the one index of
// everything that falls due on the cluster clock.
//
//  1. A session is live until it ends; then its kept results stay for Grace, for the
//     session that replaces it (SEMANTICS B3), and longer only while a lock-delay of its
//     holds runs. A clean end leaves nothing.
//  2. Every seq up to Last is exactly one of parked (package park), held, kept, over.
//  3. Open is the number of parked, held and kept calls, at most MaxOpen; releases may
//     go to twice that, since they are never refused for load (SEMANTICS H1).
//  4. A lease's place among the alarms may be early: most renewals do not move it, the
//     apply that meets it does. Every other alarm is exact: a restored book, in which all
//     are, must end things at the same times. There is one an owner.
//  5. A session has no stream if its epoch is 0, and then requests: each call that waits or
//     holds has one, and each of the last KeptRequests that ended. Asked.Ended numbers the
//     ends of a session from 1 without a gap; the last number is how many have ended. A
//     request has one call and one end. An ended session has none.
//
// A session is two records: Lease, which never changes, and State, which every call
// changes and which is therefore small.
//
// The package does not know what a hold is of, and grants nothing.
package session
